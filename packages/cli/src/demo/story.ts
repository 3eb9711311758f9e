/**
 * The story of the demo on a cluster that runs: writers, then three kills and what follows from each. Every wait ends: with what was waited
 * for, or with an error that names it.
 */
import { realClock } from '@mirabelle/runtime'
import { poll } from '../cluster/poll.ts'
import type { Cluster } from '../create-cluster.ts'
import { CliError } from '../errors.ts'
import { Ledger, longestGap, type Verdict } from './ledger.ts'
import type { Timeline } from './timeline.ts'
import { connectToAny, Writers, type Address } from './writers.ts'

const WAIT_MS = 60_000
const LOOK_EVERY_MS = 20
/** Acknowledgements this close before a kill may still stand for the time before it. */
const SETTLE_MS = 500

export interface StoryOptions {
  readonly writers: number
  /** How long the clients write between two events, ms. */
  readonly phaseMs: number
}

export interface StoryResult extends Verdict {
  readonly ok: boolean
  readonly segment_failover_ms: number
  readonly segment_failover_catalog_ms: number
  readonly other_content_longest_gap_ms: number
  readonly segment_recovery_ms: number
  readonly mirror_loss_stall_ms: number
  readonly mirror_loss_catalog_ms: number
  readonly mirror_recovery_ms: number
  readonly activation_ms: number
  readonly coordinator_outage_ms: number
  readonly client_reconnects: number
  readonly rows_per_s: number
}

interface Scene {
  readonly cluster: Cluster
  readonly timeline: Timeline
  readonly ledger: Ledger
  readonly addresses: readonly Address[]
  readonly phaseMs: number
}

export async function tellStory(
  cluster: Cluster,
  timeline: Timeline,
  options: StoryOptions,
): Promise<StoryResult> {
  const { coordinator, standby } = cluster
  const addresses = [coordinator, ...(standby === null ? [] : [standby])]
  const ledger = new Ledger()
  const scene: Scene = { cluster, timeline, ledger, addresses, phaseMs: options.phaseMs }
  await query(scene, 'CREATE TABLE demo_rows (id bigint, writer int, note text) DISTRIBUTED BY (id)')
  const segments = new Set(
    (await cluster.state()).instances.map(({ content }) => content).filter((content) => content >= 0),
  ).size
  const writers = new Writers({
    count: options.writers,
    segments,
    addresses,
    ledger,
    now: () => timeline.now(),
  })
  writers.start()
  try {
    timeline.add(`${options.writers} clients begin to insert rows, each waits for its answer before the next`)
    const rate = await baseline(scene)
    const primary = await losePrimary(scene, 0)
    const mirror = await loseMirror(scene, segments - 1)
    const coordinatorLoss = await loseCoordinator(scene)
    await pause(scene)
    await writers.stop()
    timeline.add(
      `clients stop: ${ledger.ackedCount} rows acknowledged, ${ledger.unknownCount} without an answer`,
    )
    const verdict = ledger.judge(await allIds(scene))
    const ok = verdict.lost === 0 && verdict.duplicated === 0 && verdict.unexpected === 0
    timeline.add(
      `counted: ${verdict.acked} acknowledged, ${verdict.lost} lost, ${verdict.duplicated} duplicated; of ${verdict.unknown} without an answer ${verdict.unknown_present} are there`,
    )
    return {
      ...verdict,
      ok,
      ...primary,
      ...mirror,
      ...coordinatorLoss,
      client_reconnects: writers.reconnects,
      rows_per_s: rate,
    }
  } finally {
    await writers.stop()
  }
}

async function baseline(scene: Scene): Promise<number> {
  await until(scene, 'the first acknowledged row', () => Promise.resolve(scene.ledger.ackedCount > 0))
  const [rows, at] = [scene.ledger.ackedCount, scene.timeline.now()]
  await pause(scene)
  const rate = Math.round(((scene.ledger.ackedCount - rows) * 1000) / (scene.timeline.now() - at))
  scene.timeline.add(`${scene.ledger.ackedCount} rows acknowledged, ${rate} a second`)
  return rate
}

/** kill -9 of a primary under load; its mirror takes over; the old primary comes back as mirror. */
async function losePrimary(scene: Scene, content: number) {
  const { cluster, timeline, ledger } = scene
  const before = (await instanceOf(scene, content, 'p')).dbid
  const killedAt = timeline.now()
  const pid = await cluster.kill(before, 'SIGKILL')
  timeline.add(`kill -9 of the primary of content ${content} (dbid ${before}, pid ${pid})`)
  await until(scene, `the mirror of content ${content} to be primary in the catalog`, async () => {
    const rows = await query(
      scene,
      `SELECT dbid FROM gp_segment_configuration WHERE content = ${content} AND role = 'p'`,
    )
    return Number(rows[0]?.['dbid']) !== before
  })
  const catalogAt = timeline.now()
  timeline.add(`gp_segment_configuration: the mirror of content ${content} is primary now`)
  await until(scene, `writes to content ${content} again`, () =>
    Promise.resolve(ledger.ackTimes(content, catalogAt).length > 0),
  )
  await pause(scene)
  const outage = longestGap(ledger.ackTimes(content, killedAt), killedAt)
  const failoverMs = Math.round(outage.endsAtMs - killedAt)
  const otherTimes = ledger.ackTimes('others', killedAt - SETTLE_MS, content)
  const others = longestGap(otherTimes, killedAt - SETTLE_MS)
  const errors =
    ledger.unknownCount === 0
      ? 'no client saw an error'
      : `${ledger.unknownCount} statements ended in an error`
  timeline.add(
    `first row acknowledged on content ${content} ${failoverMs} ms after the kill; ${errors}; other contents paused at most ${Math.round(others.gapMs)} ms`,
  )
  const recovery_ms = await recoverAll(scene)
  return {
    segment_failover_ms: failoverMs,
    segment_failover_catalog_ms: Math.round(catalogAt - killedAt),
    other_content_longest_gap_ms: Math.round(others.gapMs),
    segment_recovery_ms: recovery_ms,
  }
}

/** kill -9 of a mirror under load; commits wait until the catalog has it as down. */
async function loseMirror(scene: Scene, content: number) {
  const { cluster, timeline, ledger } = scene
  const { dbid } = await instanceOf(scene, content, 'm')
  const killedAt = timeline.now()
  const pid = await cluster.kill(dbid, 'SIGKILL')
  timeline.add(`kill -9 of the mirror of content ${content} (dbid ${dbid}, pid ${pid})`)
  await until(scene, `dbid ${dbid} to be down in the catalog`, async () => {
    const rows = await query(scene, `SELECT status FROM gp_segment_configuration WHERE dbid = ${dbid}`)
    return rows[0]?.['status'] === 'd'
  })
  const catalogAt = timeline.now()
  timeline.add(`gp_segment_configuration: dbid ${dbid} is down, its pair is not in sync`)
  await until(scene, `writes to content ${content} again`, () =>
    Promise.resolve(ledger.ackTimes(content, catalogAt).length > 0),
  )
  await pause(scene)
  const stall = longestGap(ledger.ackTimes(content, killedAt), killedAt)
  timeline.add(`longest pause between acknowledged rows of content ${content}: ${Math.round(stall.gapMs)} ms`)
  const recovery_ms = await recoverAll(scene)
  return {
    mirror_loss_stall_ms: Math.round(stall.gapMs),
    mirror_loss_catalog_ms: Math.round(catalogAt - killedAt),
    mirror_recovery_ms: recovery_ms,
  }
}

/** kill -9 of the coordinator; the standby is activated; the clients find it by themselves. */
async function loseCoordinator(scene: Scene) {
  const { cluster, timeline, ledger } = scene
  const killedAt = timeline.now()
  const pid = await cluster.kill(cluster.coordinator.dbid, 'SIGKILL')
  timeline.add(`kill -9 of the coordinator (dbid ${cluster.coordinator.dbid}, pid ${pid})`)
  const askedAt = timeline.now()
  const report = await cluster.activateStandby()
  timeline.add(
    `standby activate: dbid ${report.dbid} is coordinator, epoch ${report.epoch}, timeline ${report.timeline}, after ${report.elapsedMs} ms`,
  )
  // Answers that the dead coordinator had sent may come later than its death: a row that was sent after it can only be the new one's.
  await until(scene, 'a row acknowledged by the new coordinator', () =>
    Promise.resolve(ledger.firstAckOfSentAfter(askedAt) !== undefined),
  )
  const first = ledger.firstAckOfSentAfter(askedAt) as number
  timeline.add(
    `first row acknowledged by the new coordinator ${Math.round(first - askedAt)} ms after it was asked to take over`,
  )
  return { activation_ms: Math.round(first - askedAt), coordinator_outage_ms: Math.round(first - killedAt) }
}

async function recoverAll(scene: Scene): Promise<number> {
  const { cluster, timeline } = scene
  const begun = timeline.now()
  const results = await cluster.recover({ timeoutMs: WAIT_MS })
  const bad = results.find(({ outcome }) => outcome !== 'done')
  if (bad !== undefined) throw new CliError(`dbid ${bad.dbid} could not be recovered: ${bad.message}`)
  const ms = Math.round(timeline.now() - begun)
  timeline.add(
    `recover: dbid ${results.map(({ dbid }) => dbid).join(', ')} back as mirror and in sync after ${ms} ms, while clients write`,
  )
  return ms
}

async function instanceOf(scene: Scene, content: number, role: 'p' | 'm') {
  const found = (await scene.cluster.state()).instances.find(
    (row) => row.content === content && row.role === role,
  )
  if (found === undefined)
    throw new CliError(`content ${content} has no ${role === 'p' ? 'primary' : 'mirror'}`)
  return found
}

/** Lets the clients write for a while. */
function pause(scene: Scene): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, scene.phaseMs))
}

async function until(_scene: Scene, what: string, look: () => Promise<boolean>): Promise<void> {
  const found = await poll(realClock, WAIT_MS, LOOK_EVERY_MS, async () => ((await look()) ? true : undefined))
  if (found === undefined) throw new CliError(`waited ${WAIT_MS / 1000} s in vain for ${what}`)
}

/** Runs a statement on a connection of its own, on whichever coordinator lets clients in. */
async function query(scene: Scene, sql: string): Promise<Record<string, unknown>[]> {
  const client = await poll(realClock, WAIT_MS, LOOK_EVERY_MS, () => connectToAny(scene.addresses))
  if (client === undefined) throw new CliError(`no coordinator lets clients in after ${WAIT_MS / 1000} s`)
  try {
    return (await client.query(sql)).rows as Record<string, unknown>[]
  } finally {
    await client.end()
  }
}

async function allIds(scene: Scene): Promise<number[]> {
  return (await query(scene, 'SELECT id FROM demo_rows')).map(({ id }) => Number(id))
}
