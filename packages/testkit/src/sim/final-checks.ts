/** What must be true of a simulated cluster once its faults are over: it is whole, clients can read everything, and every mirror has what its primary has. */
import { contentOf, dispatcherOf, idsIn, item } from './client-tools.ts'
import type { HistoryChecker } from './history-checker.ts'
import { KvStore } from './kv-store.ts'
import { walFoldersOf } from './sim-base.ts'
import type { SimCluster } from './sim-cluster.ts'
import { recoverWal } from './sim-wal.ts'
import { SimFailure } from './sim-world.ts'
import { readBalances } from './value-work.ts'
import type { ValueHistory } from './value-history.ts'

export const NO_COORDINATOR = 'there is no coordinator'

/** What is not as it should be: the first thing that is found; empty when everything is up, in sync and open. */
export function ailmentOf(cluster: SimCluster): string {
  const service = cluster.coordinator()?.service
  if (service === undefined) return NO_COORDINATOR
  for (const row of service.topology.rows()) {
    if (row.content >= 0 && (row.status !== 'u' || row.mode !== 's'))
      return `dbid ${row.dbid} is ${row.role} ${row.mode} ${row.status}`
    const state = cluster.running.get(row.dbid)?.instance.roleState
    if (state !== (row.role === 'p' ? 'primary' : 'mirror'))
      return `dbid ${row.dbid} is ${state ?? 'not running'}`
  }
  const closed = [...service.dispatcher.lanes.values()].find((lane) => !lane.isOpen)
  if (closed !== undefined) return `the lane of content ${closed.content} is closed`
  const inDoubt = service.dispatcher.registry.inDoubt()
  return inDoubt.length === 0 ? '' : `in doubt: ${inDoubt.join(', ')}`
}

/** Epoch, roles, modes and states of the catalog, to be compared. */
export function topologyText(cluster: SimCluster): string {
  const topology = cluster.coordinator()?.service?.topology
  if (topology === undefined) return NO_COORDINATOR
  const rows = topology.rows().map(({ dbid, role, mode, status }) => `${dbid}:${role}${mode}${status}`)
  return `epoch ${topology.epoch} ${rows.join(' ')}`
}

/** Reads every list to its end, which no client does any more, and all accounts; looks at what was read of registers. */
export async function readAll(
  cluster: SimCluster,
  history: HistoryChecker,
  values: ValueHistory,
): Promise<void> {
  const coordinator = cluster.coordinator()
  if (coordinator === undefined) throw new SimFailure('liveness', 'the coordinator is gone at the end')
  const dispatcher = dispatcherOf(coordinator)
  const reads = new Map<string, readonly string[]>()
  for (const list of history.lists()) {
    const start = history.beginRead(list)
    const run = dispatcher.runOne(contentOf(list), item(`list ${list}`, false))
    const ids = idsIn((await cluster.world.until(run.promise)).output)
    history.endRead(start, ids, 'the last read')
    reads.set(list, ids)
  }
  history.checkAtomic(reads, 'the last read')
  const balances = await cluster.world.until(readBalances(coordinator, [-1, ...contentsOf(cluster)]))
  values.checkBalances(balances, 'the last read')
  values.checkRegisters()
}

function contentsOf({ layout }: SimCluster): number[] {
  return Array.from({ length: layout.contents }, (_, content) => content)
}

/** What a mirror has is what its primary has. */
export function compareCopies(cluster: SimCluster): void {
  const { running } = cluster
  const topology = cluster.coordinator()?.service?.topology
  for (const row of topology?.rows() ?? []) {
    const mirror = topology?.mirror(row.content)
    const primary = running.get(row.dbid)
    if (row.role !== 'p' || row.mode !== 's' || mirror === undefined || primary === undefined) continue
    const position = primary.engine.position
    if (position === undefined) continue
    const there = recoverWal(
      cluster.host(mirror.hostname).files,
      walFoldersOf(mirror.datadir),
      position.timeline,
      position.lsn,
      true,
    )
    const copy = new KvStore()
    for (const record of there.records) copy.apply(record)
    for (const [key, value] of primary.engine.store.values) {
      const copied = copy.values.get(key)
      if (copied !== value)
        throw new SimFailure(
          'I1',
          `${key} is ${value.slice(0, 40)} at dbid ${row.dbid} and ${copied?.slice(0, 40)} at its mirror, dbid ${mirror.dbid}`,
        )
    }
    for (const [list, ids] of primary.engine.store.lists) {
      const copied = copy.lists.get(list) ?? []
      if (ids.join(' ') !== copied.join(' '))
        throw new SimFailure(
          'I1',
          `list ${list} has ${ids.length} ids at dbid ${row.dbid} and ${copied.length} at its mirror, dbid ${mirror.dbid}`,
        )
    }
  }
}
