/** `mirabelle state -f`: the standby coordinator. */
import type { ClusterState } from '@mirabelle/messages'
import type { Report } from './lines.ts'
import { entry } from './lines.ts'
import { bytesOr, coordinatorOf, lsnOr, standbyOf, standbyWords } from './words.ts'

const RULER = '-'.repeat(62)
const WIDTH = { width: 27 } as const

export function renderStandby(state: ClusterState): Report {
  const standby = standbyOf(state)
  const stream = coordinatorOf(state)?.replication ?? undefined
  const details =
    standby === undefined
      ? ['Standby coordinator instance not configured']
      : [
          'Standby coordinator details',
          '-'.repeat(23),
          entry('Standby address', standby.address, WIDTH),
          entry('Standby data directory', standby.datadir, WIDTH),
          entry('Standby port', standby.port, WIDTH),
          entry('Standby PID', standby.pid ?? 'Not found', { ...WIDTH, bad: standby.pid === null }),
          entry('Standby status', standbyWords(state), { ...WIDTH, bad: state.cluster.standby === 'down' }),
          entry('WAL since its base', bytesOr(standby.wal_since_base), WIDTH),
        ]
  const replication =
    stream === undefined
      ? ['No entries found.']
      : [
          `WAL Sender State: ${stream.state}`,
          `Sync state: ${stream.syncState}`,
          `Sent Location: ${lsnOr(stream.sentLsn)}`,
          `Flush Location: ${lsnOr(stream.flushLsn)}`,
          `Replay Location: ${lsnOr(stream.replayLsn)}`,
        ]
  return {
    lines: [...details, RULER, 'pg_stat_replication', RULER, ...replication, RULER],
    exitStatus: state.cluster.standby === 'down' ? 1 : 0,
  }
}
