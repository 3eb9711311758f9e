/** `mirabelle mirrors add | move | remove` (Greenplum: gpaddmirrors, gpmovemirrors). */
import { Option, type Command } from 'commander'
import type { ActionResult, MirrorMove, MirrorStep } from '@mirabelle/messages'
import { openCluster, type Cluster } from '../cluster/cluster.ts'
import type { Catalog } from '../cluster/describe-catalog.ts'
import {
  makeSteps,
  planMoves,
  readCatalog,
  removeMirrors,
  type MirrorLimits,
} from '../cluster/mirror-admin.ts'
import { stateFromCoordinator } from '../cluster/state-of.ts'
import { parseAddFile, parseMoveFile, type MirrorFile } from '../describe/mirror-file.ts'
import { CliError } from '../errors.ts'
import { chooseMirrorHosts } from '../placement/mirror-hosts.ts'
import { PlacementError } from '../placement/placement.ts'
import { renderMirrors } from '../render/start-report.ts'
import { terminalReporter } from '../terminal/reporter.ts'
import { dirOf, dirOption, jsonOption, type DirOption, type JsonOption } from './options.ts'
import { limitsOf, maxRateOption, mirrorFile, parallelOption, printPlan, stallOption } from './recover.ts'

type PlacedBy = 'group' | 'spread'

export interface AddOptions {
  readonly mirroring: PlacedBy
  readonly file?: MirrorFile | undefined
  /** Against the rules of placement, too. */
  readonly force?: boolean | undefined
}

interface MakeCommand extends DirOption, JsonOption {
  readonly mirroring: PlacedBy
  readonly input?: string
  readonly force?: boolean
  readonly dryRun?: boolean
  readonly parallel: number
  readonly maxRate: number | null
  readonly timeout: number
}

export function addMirrors(program: Command): void {
  const mirrors = program
    .command('mirrors')
    .description('give a cluster mirrors, move them, or do away with them')
  addAdd(mirrors)
  addMove(mirrors)
  addRemove(mirrors)
}

function addAdd(mirrors: Command): void {
  mirrors
    .command('add')
    .description('give a cluster that has none mirrors, while it serves')
    .addOption(dirOption())
    .addOption(
      new Option(
        '--mirroring <how>',
        'group: all mirrors of a host on the next one; spread: each on another one',
      )
        .choices(['group', 'spread'])
        .default('group'),
    )
    .option('-i, --input <file>', 'where: lines "content|address|port|directory", one for each content')
    .option('--force', 'also where the rules of placement cannot be kept')
    .option('--dry-run', 'print the placement, and do nothing')
    .addOption(parallelOption())
    .addOption(maxRateOption())
    .addOption(stallOption())
    .addOption(jsonOption())
    .action((options: MakeCommand) =>
      make(options, async (cluster) =>
        planAddition(
          cluster,
          {
            mirroring: options.mirroring,
            force: options.force,
            file: options.input === undefined ? undefined : await mirrorFile(options.input),
          },
          options.dryRun === true,
        ),
      ),
    )
}

function addMove(mirrors: Command): void {
  mirrors
    .command('move')
    .description('move mirrors to other places: the old ones serve until the new ones are complete')
    .addOption(dirOption())
    .requiredOption(
      '-i, --input <file>',
      'what and where: lines "old_address|port|directory new_address|port|directory"',
    )
    .option('--dry-run', 'print what would be done, and do nothing')
    .addOption(parallelOption())
    .addOption(maxRateOption())
    .addOption(stallOption())
    .addOption(jsonOption())
    .action((options: MakeCommand & { readonly input: string }) =>
      make(options, async (cluster) =>
        planMove(cluster, await mirrorFile(options.input), options.dryRun === true),
      ),
    )
}

function addRemove(mirrors: Command): void {
  mirrors
    .command('remove')
    .description('do away with all mirrors and their folders: each segment has one copy then')
    .option('--yes', 'do not ask')
    .addOption(dirOption())
    .addOption(jsonOption())
    .action(async (options: DirOption & JsonOption & { readonly yes?: boolean }) => {
      const reporter = terminalReporter()
      const cluster = await openCluster(dirOf(options), reporter)
      if (options.yes !== true)
        throw new CliError('nothing was removed: without mirrors a lost segment is lost; say --yes to go on')
      await show(cluster, await removeMirrors(cluster), options, 'The cluster has no mirrors')
    })
}

interface Planned {
  readonly steps: readonly MirrorStep[]
  /** What the catalog says of the placement afterwards; null = as before. */
  readonly mirroring: PlacedBy | null
}

async function make(options: MakeCommand, plan: (cluster: Cluster) => Promise<Planned>): Promise<void> {
  const reporter = terminalReporter()
  const cluster = await openCluster(dirOf(options), reporter)
  const planned = await plan(cluster)
  if (options.dryRun === true) {
    printPlan(planned.steps, options, (line) => reporter.print(line), {
      nothing: 'No mirrors to be made',
    })
    return
  }
  const results = await carryOut(cluster, planned, limitsOf(options))
  await show(cluster, results, options, 'No mirrors to be made')
}

async function show(
  cluster: Cluster,
  results: readonly ActionResult[],
  options: JsonOption,
  nothing: string,
): Promise<void> {
  const report = renderMirrors(results, (await stateFromCoordinator(cluster))?.instances ?? [])
  process.exitCode = report.exitStatus
  if (options.json === true) cluster.reporter.print(JSON.stringify({ results }))
  else for (const line of results.length === 0 ? [nothing] : report.lines) cluster.reporter.print(line)
}

/** Where the mirrors would be. Contents that have one already (an earlier run was interrupted) keep it; one that is down yet is completed. */
export async function planAddition(cluster: Cluster, options: AddOptions, look = false): Promise<Planned> {
  const catalog = await readCatalog(cluster)
  const moves = missing(
    additions(cluster, catalog, options),
    catalog,
    cluster.folder.file.addingMirrors === true,
  )
  if (moves.length === 0 && catalog.mirroring !== 'none') {
    // The coordinator went on alone after an earlier run was interrupted: what was asked for is there.
    if (cluster.folder.file.addingMirrors === true) return { steps: [], mirroring: null }
    throw new CliError(
      'the cluster has mirrors already: "mirabelle mirrors move" moves them, "mirabelle recover" brings them back',
    )
  }
  const steps = await planMoves(cluster, moves, { mode: 'auto', look })
  return { steps, mirroring: options.mirroring }
}

/** Of these additions what is still to be done. `again`: mirrors that are down were recorded by a run that did not come to their end. */
export function missing(wanted: readonly MirrorMove[], { rows }: Catalog, again: boolean): MirrorMove[] {
  return wanted.flatMap((move): MirrorMove[] => {
    const there = rows.find(({ content, role }) => content === move.content && role === 'm')
    if (there === undefined) return [move]
    if (!again || there.status === 'u') return []
    return [{ kind: 'recover', content: move.content, dbid: there.dbid, to: null, mode: null }]
  })
}

function additions(cluster: Cluster, { rows }: Catalog, options: AddOptions): MirrorMove[] {
  const { hosts } = cluster.folder.file
  if (options.file !== undefined) return parseAddFile(options.file, { rows, hosts })
  const primaries = rows.filter(({ content, role }) => content >= 0 && role === 'p')
  try {
    const { hostOf, warnings } = chooseMirrorHosts(
      primaries,
      segmentHosts(cluster, rows),
      options.mirroring,
      options.force,
    )
    for (const warning of warnings) cluster.reporter.say(`Warning: ${warning}`)
    return [...hostOf].map(([content, hostname]) => ({
      kind: 'add',
      content,
      dbid: null,
      to: { hostname, address: null, port: null, datadir: null },
      mode: null,
    }))
  } catch (error) {
    if (error instanceof PlacementError) throw new CliError(error.message, { cause: error })
    throw error
  }
}

/** All hosts but those that carry the coordinator or its standby and no segment. */
function segmentHosts(cluster: Cluster, rows: Catalog['rows']): string[] {
  const has = (name: string, segments: boolean): boolean =>
    rows.some(({ hostname, content }) => hostname === name && content >= 0 === segments)
  return cluster.folder.file.hosts
    .map(({ name }) => name)
    .filter((name) => has(name, true) || !has(name, false))
}

/** Where the mirrors of the file would go. */
export async function planMove(cluster: Cluster, file: MirrorFile, look = false): Promise<Planned> {
  const { rows } = await readCatalog(cluster)
  const moves = parseMoveFile(file, { rows, hosts: cluster.folder.file.hosts })
  return {
    steps: moves.length === 0 ? [] : await planMoves(cluster, moves, { mode: 'auto', look }),
    mirroring: null,
  }
}

/** Carries out what was planned. Mirrors that are added are all made or the result says which are not. */
export async function carryOut(
  cluster: Cluster,
  { steps, mirroring }: Planned,
  limits: MirrorLimits,
): Promise<readonly ActionResult[]> {
  if (steps.length === 0) {
    await cluster.folder.update({ addingMirrors: undefined })
    return []
  }
  for (const { warning } of steps) if (warning !== null) cluster.reporter.say(`Warning: ${warning}`)
  for (const { row, content, begun } of steps)
    cluster.reporter.say(
      `${begun ? 'Completing' : 'Making'} the mirror of content ${content}: dbid ${row.dbid} on ${row.hostname}:${row.port}, folder ${row.datadir}`,
    )
  if (mirroring !== null) await cluster.folder.update({ addingMirrors: true })
  const results = await makeSteps(cluster, steps, limits, mirroring)
  await cluster.folder.update({ addingMirrors: undefined })
  return results
}
