/** Planted bugs about statements that took effect and are asked for after a failover, and about rows that say so of transactions. */
import { hubWith, rewriteSql, withRequests, withTransactionsNotAskedFor } from './mutant-tools.ts'
import type { Mutant } from './mutant.ts'

export const settledMutants: readonly Mutant[] = [
  {
    name: 'settled-not-begun',
    firstSeed: 859,
    bug: 'a mirror that comes back does not take in which statements have taken effect meanwhile',
    found: ['settled', 'doubled', 'appeared'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          return answer.type === 'wal.started' ? { ...answer, settled: [] } : answer
        }),
    }),
  },
  {
    name: 'settled-not-seeded',
    firstSeed: 27,
    bug: 'a mirror that is promoted forgets which statements had taken effect before',
    found: ['settled'],
    plant: () => ({
      wal: hubWith((hub) => {
        hub.settledSeed = () => undefined
      }),
    }),
  },
  {
    name: 'answers-not-told',
    firstSeed: 1,
    bug: 'a mirror is told which statements took effect, but not what they answered',
    found: ['settled'],
    plant: () => ({
      wal: hubWith((hub) => {
        const publish = hub.publish.bind(hub)
        hub.publish = (wal, settled, incarnation) =>
          publish(
            wal,
            settled.map(([seq, lsn]) => [seq, lsn, null]),
            incarnation,
          )
      }),
    }),
  },
  {
    name: 'transaction-not-asked-for',
    firstSeed: 61,
    bug: 'what belongs into a transaction runs although that is not open any more',
    found: ['I6', 'I9', 'appeared', 'doubled'],
    plant: () => ({ engine: withTransactionsNotAskedFor }),
  },
  {
    name: 'rows-left-behind',
    firstSeed: 10,
    bug: 'rows of transactions that earlier coordinators have ended are never deleted',
    found: ['I9'],
    plant: () => ({
      engine: (engine) => {
        rewriteSql(engine, /^DELETE FROM pg_catalog\.dtx_committed/, 'SET nothing')
        return engine
      },
    }),
  },
]
