/**
 * Starts a cluster: agents, the coordinator, and through it all that the catalog says is up. May be run at any time: what runs already is
 * left alone, and a start that was interrupted is completed.
 */
import { RECLAIM_SETTING, type ActionResult, type ClusterState, type SegmentRow } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { askAgent, ensureAgents, requireAgents, type AgentAnswer } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { askInstance, findCoordinator, remember, type InstanceAnswer } from './coordinators.ts'
import { askFrontDoor } from './front-door.ts'
import { poll } from './poll.ts'
import { rowAt, spawnInstance, waitForRole, whyEnded } from './start-instance.ts'

const STOP_MS = 60_000
const DOOR_MS = 5_000
/** A machine that starts every process of a cluster at once holds some up for seconds; one that has ended is noticed at once all the same. */
const STATE_MS = 30_000
const LOOK_EVERY_MS = 50
/** What does not serve after so long is looked at: a copy that hangs, or that is lost. */
const LOOK_CLOSER_AFTER_MS = 15_000
/** Reading the WAL of lost copies, and a recovery. */
const REVIVE_MS = 600_000
const REVIVE_STALL_MS = 60_000
const SUPERSEDED = 'Standby activated, this node no more can act as coordinator'

export interface StartOptions {
  /** How long to wait until the primaries serve and clients are let in, ms. */
  readonly timeoutMs: number
  /** How long to wait after that for the mirrors to be in sync, ms. */
  readonly syncTimeoutMs: number
  /** Contents for which a copy that lacks transactions may take over when the one that has them is lost. */
  readonly acceptDataLoss?: readonly number[] | undefined
}

export interface StartReport {
  readonly wasRunning: boolean
  readonly results: readonly ActionResult[]
  readonly state: ClusterState
}

export async function startCluster(cluster: Cluster, options: StartOptions): Promise<StartReport> {
  const { folder, reporter } = cluster
  const { answers, started } = await ensureAgents(cluster)
  if (started.length > 0)
    reporter.say(
      `Started the agents of ${started
        .map(({ name }) => name)
        .sort()
        .join(', ')}`,
    )
  for (const answer of answers.filter(({ status }) => status === undefined))
    reporter.say(
      `The agent of ${answer.host.name} does not answer (${answer.error}): its instances are not started`,
    )
  const running = await findCoordinator(cluster)
  const reclaims = running === undefined && options.acceptDataLoss?.includes(-1) === true
  let row =
    running?.row ?? (reclaims ? lastCoordinator(cluster, answers) : newestCoordinator(cluster, answers))
  if (!reclaims && row.dbid !== folder.file.activatingDbid) await forgetActivation(cluster)
  requireAgents(answers.filter(({ host }) => host.name === row.hostname))
  const { activatingDbid } = folder.file
  let outcome = await bringUp(cluster, row, options, reclaims).catch((error: unknown) => {
    // Begun, and the standby is not there to finish it.
    if (row.dbid !== activatingDbid) throw error
    return { failure: sentenceOf(error) }
  })
  const other = folder.coordinators.find(({ dbid }) => dbid !== row.dbid)
  if ('failure' in outcome && outcome.failure.includes(SUPERSEDED) && other !== undefined) {
    // The activation was made, but its end was never written down here.
    reporter.say(`${SUPERSEDED}: starting dbid ${other.dbid} on ${other.hostname} instead`)
    await folder.update({ coordinatorDbid: other.dbid, standbyDbid: null, activatingDbid: null })
    row = other
    outcome = await bringUp(cluster, row, options).catch((error: unknown) => ({ failure: sentenceOf(error) }))
  }
  if ('failure' in outcome)
    throw new CliError(
      `the coordinator (dbid ${row.dbid} on ${row.hostname}) could not be started: ${outcome.failure}${wayBack(row, answers, cluster)}`,
    )
  await folder.update({
    ...(reclaims ? { coordinatorDbid: row.dbid, standbyDbid: null, activatingDbid: null } : {}),
    initialised: true,
    epoch: Math.max(folder.file.epoch, outcome.state.cluster.epoch),
  })
  return { wasRunning: running !== undefined, ...outcome }
}

/**
 * Which instance of content -1 to start when none acts: one whose activation has begun; else, of those that were coordinator, the one that
 * has promised the highest epoch. An old coordinator is so not started again although the file still names it.
 */
export function newestCoordinator(cluster: Cluster, answers: readonly AgentAnswer[]): SegmentRow {
  const { folder } = cluster
  const { activatingDbid, coordinatorDbid } = folder.file
  const activating = folder.coordinators.find(({ dbid }) => dbid === activatingDbid)
  if (activating !== undefined && hasBegun(activating.dbid, folder.file.epoch, answers)) return activating
  const epochOf = (dbid: number): number => promisedAsCoordinator(answers, dbid) ?? 0
  const named = folder.row(coordinatorDbid)
  return folder.coordinators.find(({ dbid }) => epochOf(dbid) > epochOf(named.dbid)) ?? named
}

/**
 * The activation of this standby changed something before its command was interrupted: it is a primary by its folder, or somebody has promised a new epoch.
 * Otherwise nobody may have asked yet whether it has everything, and it must not become the coordinator by being started.
 */
function hasBegun(standby: number, epoch: number, answers: readonly AgentAnswer[]): boolean {
  const seen = rowAt(answers, standby)
  if (seen === undefined || seen.dataRole !== 'm') return true // nobody knows how far it has come
  const instances = answers.flatMap(({ status }) => status?.instances ?? [])
  return instances.some(({ promisedEpoch }) => (promisedEpoch ?? 0) > epoch)
}

/** What was asked for and has not begun must not be completed by a later start, when the standby may lack much. */
async function forgetActivation({ folder, reporter }: Cluster): Promise<void> {
  const { activatingDbid } = folder.file
  if (activatingDbid === null) return
  reporter.say(
    `The activation of dbid ${activatingDbid} had not begun when its command was interrupted: ask for it again with "mirabelle standby activate" if that is wanted`,
  )
  await folder.update({ activatingDbid: null })
}

/** The epoch that an instance has promised whose data is a coordinator's; undefined for any other. */
function promisedAsCoordinator(answers: readonly AgentAnswer[], dbid: number): number | undefined {
  const seen = rowAt(answers, dbid)
  return seen?.dataRole === 'p' ? (seen.promisedEpoch ?? 0) : undefined
}

/** What to do when the instance that could not be started was to take over from another one, which is still there. */
function wayBack(row: SegmentRow, answers: readonly AgentAnswer[], { folder }: Cluster): string {
  const old = folder.coordinators.find(({ dbid }) => dbid !== row.dbid)
  if (old === undefined || promisedAsCoordinator(answers, old.dbid) === undefined) return ''
  return `; if dbid ${row.dbid} is lost for good, "mirabelle start --accept-data-loss -1" makes dbid ${old.dbid} the coordinator again, without anything that dbid ${row.dbid} did as coordinator`
}

/** The instance of content -1 that was coordinator and is still there; of two the one that has promised more. Throws CliError when there is none. */
function lastCoordinator(cluster: Cluster, answers: readonly AgentAnswer[]): SegmentRow {
  const epochOf = (dbid: number): number | undefined => promisedAsCoordinator(answers, dbid)
  const [last] = cluster.folder.coordinators
    .filter(({ dbid }) => epochOf(dbid) !== undefined)
    .sort((a, b) => (epochOf(b.dbid) ?? 0) - (epochOf(a.dbid) ?? 0))
  if (last !== undefined) return last
  throw new CliError('no host has a data directory of a coordinator that could take over again')
}

type BroughtUp = Omit<StartReport, 'wasRunning'> | { readonly failure: string }

/** Starts the coordinator unless it runs, lets it start the others, and waits for all of them. */
async function bringUp(
  cluster: Cluster,
  row: SegmentRow,
  options: StartOptions,
  reclaims = false,
): Promise<BroughtUp> {
  const { reporter, clock, folder } = cluster
  const deadline = clock.monotonic() + options.timeoutMs
  const left = (): number => Math.max(1, deadline - clock.monotonic())
  const { status } = await askInstance(cluster, row)
  if (status?.roleState !== 'primary') {
    reporter.say(`Starting Coordinator instance ${row.hostname} directory ${row.datadir}`)
    await stopMirror(cluster, row, status)
    if (row.dbid !== folder.file.coordinatorDbid)
      await remember(cluster, row, folder.file.epoch, { quiet: reclaims })
    await spawnInstance(cluster, row, 'p', reclaims ? { [RECLAIM_SETTING]: 'on' } : {})
  }
  const failure = await waitForRole(cluster, row, 'p', left())
  if (failure !== undefined) return { failure }
  reporter.say('Starting the segment instances')
  try {
    const { results } = await cluster.control.ask(row.endpoint, { type: 'cluster.start' }, left())
    const closed = await waitForDoor(cluster, row, left())
    if (closed !== undefined) return { failure: closed }
    let state = await waitForInstances(
      cluster,
      row,
      Math.min(left(), LOOK_CLOSER_AFTER_MS),
      options.syncTimeoutMs,
    )
    await remember(cluster, row, state.cluster.epoch)
    if (primariesServe(state)) return { results, state }
    const message = {
      type: 'cluster.revive',
      acceptDataLoss: (options.acceptDataLoss ?? []).filter((content) => content >= 0),
      stallMs: REVIVE_STALL_MS,
      look: false,
    } as const
    const looked = (await cluster.control.ask(row.endpoint, message, REVIVE_MS)).results
    // Who was starting goes on by itself, and may have taken longer than that look.
    const waits = looked.some(({ outcome }) => outcome === 'failed') ? LOOK_EVERY_MS : left()
    state = await waitForInstances(cluster, row, waits, options.syncTimeoutMs)
    const revived = looked.filter(({ content, outcome }) => outcome === 'done' || !serves(state, content))
    const before = results.filter(({ dbid }) => !revived.some((one) => one.dbid === dbid))
    return { results: [...before, ...revived], state }
  } catch (error) {
    // A coordinator that was replaced learns it from the first segment that answers.
    const ended = await whyEnded(cluster, row)
    if (ended === undefined) throw error
    return { failure: ended }
  }
}

/** A process that runs as mirror of content -1 cannot become the coordinator by being started: it ends first. */
async function stopMirror(
  cluster: Cluster,
  row: SegmentRow,
  status: InstanceAnswer['status'],
): Promise<void> {
  if (status === undefined || status.role === 'p') return
  const message = { type: 'agent.stop', dbid: row.dbid, mode: 'fast' } as const
  await askAgent(cluster, cluster.folder.host(row.hostname), message, STOP_MS)
}

/** Waits until clients are let in; resolves with why they are not. */
async function waitForDoor(
  cluster: Cluster,
  row: SegmentRow,
  timeoutMs: number,
): Promise<string | undefined> {
  let reason = ''
  const seen = await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const answer = await askFrontDoor(row.address, row.port, DOOR_MS)
    if (answer.ready) return { ended: undefined }
    reason = answer.reason
    const ended = await whyEnded(cluster, row)
    return ended === undefined ? undefined : { ended }
  })
  return seen === undefined
    ? `${row.address}:${row.port} lets no clients in after ${Math.round(timeoutMs / 1000)} s: ${reason}`
    : seen.ended
}

/** True when every content has a serving primary. */
function primariesServe(state: ClusterState): boolean {
  return state.instances
    .filter((row) => row.role === 'p' && row.status === 'u')
    .every((row) => row.state === 'primary')
}

function serves(state: ClusterState, content: number): boolean {
  return state.instances.some((row) => row.content === content && row.role === 'p' && row.state === 'primary')
}

/** True when every pair that should be in sync is, and the standby streams. */
function mirrorsFollow(state: ClusterState): boolean {
  const pairs = state.instances.filter((row) => row.content >= 0 && row.role === 'm' && row.status === 'u')
  return pairs.every((row) => row.mode === 's') && ['none', 'streaming'].includes(state.cluster.standby)
}

async function waitForInstances(
  cluster: Cluster,
  row: SegmentRow,
  timeoutMs: number,
  syncTimeoutMs: number,
): Promise<ClusterState> {
  const look = async (): Promise<ClusterState> => {
    const answer = await cluster.control.ask(row.endpoint, { type: 'cluster.state' }, STATE_MS)
    return answer.state
  }
  let last = await look()
  await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    last = await look()
    return primariesServe(last) ? true : undefined
  })
  await poll(cluster.clock, syncTimeoutMs, LOOK_EVERY_MS * 2, async () => {
    // A probe looks at once instead of at the next interval.
    await cluster.control
      .ask(row.endpoint, { type: 'cluster.probe' }, syncTimeoutMs + STATE_MS)
      .catch((error: unknown) => {
        cluster.reporter.say(`A probe of the segments did not end: ${sentenceOf(error)}`)
      })
    last = await look()
    return mirrorsFollow(last) ? true : undefined
  })
  return last
}
