/** Lets the standby coordinator take over. Works when the old coordinator's process or host is dead; run again, it finishes what was begun. */
import type { MessageOf, SegmentRow } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { askAgent, ensureAgents, requireAgents } from './agents.ts'
import type { Cluster } from './cluster.ts'
import { askInstance, findCoordinator, remember } from './coordinators.ts'
import { poll } from './poll.ts'
import { rowAt, spawnInstance } from './start-instance.ts'

const ACTIVATE_MS = 120_000
const UP_MS = 60_000
const LOOK_EVERY_MS = 25
/** A busy machine does not hold a process up for so long. */
const HUNG_MS = 5_000
const STOP_MS = 30_000

/** States of a mirror whose activation may go on by itself. */
const MAY_HAVE_BEGUN = ['promoting', 'failed']

export interface ActivationReport {
  readonly dbid: number
  readonly host: string
  readonly port: number
  readonly epoch: number
  readonly timeline: number
  /** From the request to the first client that is let in, ms. */
  readonly elapsedMs: number
  /** It was the coordinator already. */
  readonly wasActive: boolean
}

/** Activates the standby. Throws CliError when there is none, when the coordinator still answers, or when it could not take over. */
export async function activateStandby(cluster: Cluster, force: boolean): Promise<ActivationReport> {
  const { folder, control, clock } = cluster
  const { file } = folder
  const wanted = file.activatingDbid ?? file.standbyDbid
  if (wanted === null) return activatedBefore(cluster)
  const row = folder.row(wanted)
  const begun = clock.monotonic()
  let answer = await askInstance(cluster, row)
  if (answer.status === undefined) {
    if (!force) await requireNoCoordinator(cluster, row)
    await startStandby(cluster, row)
    answer = await askInstance(cluster, row)
  } else if (answer.status.roleState === 'starting') await waitUp(cluster, row)
  await folder.update({ activatingDbid: row.dbid })
  let done: MessageOf<'standby.activated'>
  try {
    done = await control.ask(row.endpoint, { type: 'standby.activate', force }, ACTIVATE_MS)
  } catch (error) {
    // Refused before anything was changed. Were it left written down, the next start would take it for begun, and complete it.
    const { status } = await askInstance(cluster, row)
    if (status?.role === 'm' && !MAY_HAVE_BEGUN.includes(status.roleState))
      await folder.update({ activatingDbid: null })
    throw new CliError(`the standby coordinator was not activated: ${sentenceOf(error)}`, { cause: error })
  }
  await remember(cluster, row, done.epoch, { quiet: true })
  return {
    dbid: row.dbid,
    host: row.address,
    port: done.port,
    epoch: done.epoch,
    timeline: done.timeline,
    elapsedMs: Math.round(clock.monotonic() - begun),
    wasActive: false,
  }
}

/** There is no standby any more: because it acts as coordinator already, which is what was wanted. Throws CliError when there never was one. */
async function activatedBefore(cluster: Cluster): Promise<ActivationReport> {
  const { file } = cluster.folder
  const row = cluster.folder.row(file.coordinatorDbid)
  const acting = await findCoordinator(cluster)
  if (row.role === 'm' && acting?.status !== undefined) {
    const { epoch, timeline } = acting.status
    return {
      dbid: row.dbid,
      host: row.address,
      port: row.port,
      epoch,
      timeline,
      elapsedMs: 0,
      wasActive: true,
    }
  }
  throw new CliError(
    `the cluster has no standby coordinator: dbid ${row.dbid} is its coordinator; ${acting === undefined ? 'start it with "mirabelle start"' : 'it answers'}`,
  )
}

/** What the standby would say: a coordinator that answers is not replaced. Nothing is started or ended for an activation that would be refused. */
async function requireNoCoordinator(cluster: Cluster, standby: SegmentRow): Promise<void> {
  const acting = await findCoordinator(cluster)
  if (acting?.status === undefined || acting.row.dbid === standby.dbid) return
  throw new CliError(
    `the standby coordinator was not activated: the coordinator dbid ${acting.row.dbid} (pid ${acting.status.pid}) is still active: stop it first, or use --force`,
  )
}

/** Starts the standby. One that runs and says nothing is killed first: its WAL is all there. */
async function startStandby(cluster: Cluster, row: SegmentRow): Promise<void> {
  const { folder, reporter, clock } = cluster
  // Agents of other hosts may be dead with them; only this one is needed.
  const { answers } = await ensureAgents(cluster)
  requireAgents(answers.filter(({ host }) => host.name === row.hostname))
  const pid = rowAt(answers, row.dbid)?.pid ?? null
  if (pid === null) reporter.say(`The standby coordinator (dbid ${row.dbid}) does not run: starting it`)
  else {
    const spoke = await poll(
      clock,
      HUNG_MS,
      LOOK_EVERY_MS,
      async () => (await askInstance(cluster, row)).status,
    )
    if (spoke !== undefined) return waitUp(cluster, row)
    reporter.say(
      `The standby coordinator (dbid ${row.dbid}) runs as process ${pid}, but says nothing: starting it anew`,
    )
    const message = { type: 'agent.stop', dbid: row.dbid, mode: 'immediate' } as const
    await askAgent(cluster, folder.host(row.hostname), message, STOP_MS)
  }
  await spawnInstance(cluster, row, 'm')
  await waitUp(cluster, row)
}

/** Its PostgreSQL replays WAL, or it says why it cannot. */
async function waitUp(cluster: Cluster, row: SegmentRow): Promise<void> {
  const up = await poll(cluster.clock, UP_MS, LOOK_EVERY_MS, async () => {
    const { status } = await askInstance(cluster, row)
    return status !== undefined && status.roleState !== 'starting' ? status.roleState : undefined
  })
  if (up === undefined)
    throw new CliError(
      `the standby coordinator (dbid ${row.dbid}) is not up after ${UP_MS / 1000} s; its log is in ${row.datadir}/log`,
    )
}
