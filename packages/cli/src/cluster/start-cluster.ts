/**
 * Starts a cluster: agents, the coordinator, and through it all that the catalog says is up. May be run at any time: what runs already is
 * left alone, and a start that was interrupted is completed.
 */
import { instanceLogFile } from '@mirabelle/agent'
import type { ActionResult, ClusterState, SegmentRow } from '@mirabelle/messages'
import { CliError, sentenceOf } from '../errors.ts'
import { askAgent, ensureAgents, requireAgents, tailOf } from './agents.ts'
import { assignmentOf } from './assignments.ts'
import type { Cluster } from './cluster.ts'
import { findCoordinator, remember } from './coordinators.ts'
import { askFrontDoor } from './front-door.ts'
import { poll } from './poll.ts'

const START_MS = 15_000
const STATE_MS = 5_000
const LOOK_EVERY_MS = 50
const SUPERSEDED = 'Standby activated, this node no more can act as coordinator'

export interface StartOptions {
  /** How long to wait until the primaries serve and clients are let in, ms. */
  readonly timeoutMs: number
  /** How long to wait after that for the mirrors to be in sync, ms. */
  readonly syncTimeoutMs: number
}

export interface StartReport {
  readonly wasRunning: boolean
  readonly results: readonly ActionResult[]
  readonly state: ClusterState
}

export async function startCluster(cluster: Cluster, options: StartOptions): Promise<StartReport> {
  const { folder, reporter, clock } = cluster
  const { answers, started } = await ensureAgents(cluster)
  if (started.length > 0) reporter.say(`Started the agents of ${started.map(({ name }) => name).join(', ')}`)
  const running = await findCoordinator(cluster)
  const deadline = clock.monotonic() + options.timeoutMs
  const row = running?.row ?? folder.row(folder.file.activatingDbid ?? folder.file.coordinatorDbid)
  requireAgents(answers.filter(({ host }) => host.name === row.hostname))
  for (const answer of answers.filter(({ status }) => status === undefined))
    reporter.say(
      `The agent of ${answer.host.name} does not answer (${answer.error}): its instances are not started`,
    )
  const coordinator = running === undefined ? await startCoordinator(cluster, row, options.timeoutMs) : row
  reporter.say(`Starting the segment instances`)
  const results = await askToStart(cluster, coordinator, options.timeoutMs)
  const left = (): number => Math.max(1, deadline - clock.monotonic())
  await waitForDoor(cluster, coordinator, left())
  const state = await waitForInstances(cluster, coordinator, left(), options.syncTimeoutMs)
  await folder.update({ initialised: true, epoch: Math.max(folder.file.epoch, state.cluster.epoch) })
  return { wasRunning: running !== undefined, results, state }
}

/** Starts the coordinator's process and waits until it serves; resolves with the row that does. */
async function startCoordinator(cluster: Cluster, row: SegmentRow, timeoutMs: number): Promise<SegmentRow> {
  const { folder, reporter } = cluster
  reporter.say(`Starting Coordinator instance ${row.hostname} directory ${row.datadir}`)
  const failure = await startAsPrimary(cluster, row, timeoutMs)
  if (failure === undefined) return row
  const other = folder.coordinators.find(({ dbid }) => dbid !== row.dbid)
  if (!failure.includes(SUPERSEDED) || other === undefined)
    throw new CliError(
      `the coordinator (dbid ${row.dbid} on ${row.hostname}) could not be started: ${failure}`,
    )
  // The activation was made, but its end was never written down here.
  reporter.say(`${SUPERSEDED}: starting dbid ${other.dbid} on ${other.hostname} instead`)
  await folder.update({ coordinatorDbid: other.dbid, standbyDbid: null, activatingDbid: null })
  const again = await startAsPrimary(cluster, other, timeoutMs)
  if (again !== undefined)
    throw new CliError(
      `the coordinator (dbid ${other.dbid} on ${other.hostname}) could not be started: ${again}`,
    )
  return other
}

/** Starts an instance of content -1 as primary. Resolves with undefined when it serves, or with why it does not. */
async function startAsPrimary(
  cluster: Cluster,
  row: SegmentRow,
  timeoutMs: number,
): Promise<string | undefined> {
  const host = cluster.folder.host(row.hostname)
  const assignment = assignmentOf(cluster.folder, row, 'p')
  const { pid } = await askAgent(cluster, host, { type: 'agent.start', assignment }, START_MS)
  const seen = await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const failure = await whyEnded(cluster, row, pid)
    if (failure !== undefined) return { failure }
    const status = await cluster.control
      .ask(row.endpoint, { type: 'instance.status' }, STATE_MS)
      .catch(() => undefined) // it listens only once its folder is open
    if (status?.roleState !== 'primary') return undefined
    await remember(cluster, row, status.epoch)
    // It serves the cluster once it answers for it.
    return cluster.control.ask(row.endpoint, { type: 'cluster.state' }, STATE_MS).then(
      () => ({ failure: undefined }),
      () => undefined,
    )
  })
  return seen === undefined
    ? `it does not serve after ${timeoutMs / 1000} s; its log is in ${row.datadir}/log`
    : seen.failure
}

/** Why the process of an instance has ended; undefined while it runs. */
async function whyEnded(cluster: Cluster, row: SegmentRow, pid: number): Promise<string | undefined> {
  const status = await askAgent(
    cluster,
    cluster.folder.host(row.hostname),
    { type: 'agent.status' },
    STATE_MS,
  )
  const now = status.instances.find(({ dbid }) => dbid === row.dbid)
  if (now?.pid === pid) return undefined
  const log = instanceLogFile(row.datadir)
  const said = cluster.folder.file.local ? await tailOf(log, 3) : ''
  return said === '' ? `its process ended; see ${log} on ${row.hostname}` : said
}

/** Lets the coordinator start what should run. */
async function askToStart(
  cluster: Cluster,
  row: SegmentRow,
  timeoutMs: number,
): Promise<readonly ActionResult[]> {
  const answer = await cluster.control.ask(row.endpoint, { type: 'cluster.start' }, timeoutMs)
  return answer.results
}

async function waitForDoor(cluster: Cluster, row: SegmentRow, timeoutMs: number): Promise<void> {
  let reason = ''
  const ready = await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const answer = await askFrontDoor(row.address, row.port, STATE_MS)
    if (!answer.ready) reason = answer.reason
    return answer.ready ? true : undefined
  })
  if (ready === undefined)
    throw new CliError(
      `the coordinator at ${row.address}:${row.port} lets no clients in after ${Math.round(timeoutMs / 1000)} s: ${reason}`,
    )
}

/** True when every content has a serving primary. */
function primariesServe(state: ClusterState): boolean {
  return state.instances
    .filter((row) => row.role === 'p' && row.status === 'u')
    .every((row) => row.state === 'primary')
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

/** Starts one instance through its agent, as the file says it is to run; resolves with why it ended, or undefined when it stays up. */
export async function startOne(
  cluster: Cluster,
  dbid: number,
  timeoutMs: number,
): Promise<string | undefined> {
  const { folder } = cluster
  requireAgents(
    (await ensureAgents(cluster)).answers.filter(({ host }) => host.name === folder.row(dbid).hostname),
  )
  const row = folder.row(dbid)
  const { pid } = await askAgent(
    cluster,
    folder.host(row.hostname),
    { type: 'agent.start', assignment: assignmentOf(folder, row, row.role) },
    START_MS,
  )
  const seen = await poll(cluster.clock, timeoutMs, LOOK_EVERY_MS, async () => {
    const failure = await whyEnded(cluster, row, pid)
    if (failure !== undefined) return { failure }
    const status = await cluster.control
      .ask(row.endpoint, { type: 'instance.status' }, STATE_MS)
      .catch(() => undefined) // not listening yet
    const wanted = row.role === 'p' ? 'primary' : 'mirror'
    if (status?.roleState !== wanted) return undefined
    if (row.content !== -1 || row.role !== 'p') return { failure: undefined }
    return cluster.control.ask(row.endpoint, { type: 'cluster.state' }, STATE_MS).then(
      () => ({ failure: undefined }),
      () => undefined,
    )
  })
  return seen === undefined ? `it is not up after ${timeoutMs / 1000} s` : seen.failure
}
