/**
 * Planted bugs that the simulation must find: each breaks one promise, from outside, by putting something between an actor and a port. Nothing in the
 * production code knows of them. A simulation that does not find one of these would not find the like of it either.
 */
import type { Dbid, SettledEntry } from '@mirabelle/messages'
import {
  hubWith,
  rewriteSql,
  withFailedSyncsForgiven,
  withoutFiles,
  withoutSync,
  withRequests,
  withSends,
  withConnections,
} from './mutant-tools.ts'
import type { Mutant } from './mutant.ts'
import { recoveryMutants } from './recovery-mutants.ts'
import { roleMutants } from './role-mutants.ts'
import { settledMutants } from './settled-mutants.ts'
import type { RunningInstance } from './sim-cluster.ts'

export const mutants: readonly Mutant[] = [
  ...roleMutants,
  ...recoveryMutants,
  ...settledMutants,
  {
    name: 'ack-before-fsync',
    firstSeed: 1,
    bug: 'a mirror acknowledges WAL that it has written but not made durable',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withoutSync(ports.disk) }) }),
  },
  {
    name: 'answer-before-fsync',
    firstSeed: 1,
    bug: 'a primary takes its own WAL for durable as soon as it is written',
    found: ['I1'],
    plant: () => ({
      engine: (engine) => {
        engine.syncWal = () => Promise.resolve(engine.flushLsn())
        return engine
      },
    }),
  },
  {
    name: 'gate-ignores-mirror',
    firstSeed: 1,
    bug: 'the commit gate counts WAL as flushed by the mirror when it is sent',
    found: ['I1'],
    plant: () => ({
      wal: hubWith((hub, options) => {
        const publish = hub.publish.bind(hub)
        hub.publish = (wal, settled, incarnation) => {
          publish(wal, settled, incarnation)
          const { dbid } = hub.mirrorStatus()
          if (dbid !== 0) options.listeners.onFlushed(dbid, wal.end)
        }
      }),
    }),
  },
  {
    name: 'syncrep-off-before-catalog',
    firstSeed: 14,
    bug: 'a primary stops waiting for its mirror when the stream ends, before that is in the catalog',
    found: ['I3', 'lost'],
    plant: () => {
      const running = new Map<Dbid, RunningInstance>()
      return {
        onRunning: (one) => running.set(one.assignment.dbid, one),
        wal: (wal, assignment) => ({
          ...wal,
          createHub: (options) =>
            wal.createHub({
              ...options,
              listeners: {
                ...options.listeners,
                onState: (dbid, state, reason) => {
                  options.listeners.onState?.(dbid, state, reason)
                  if (state === 'ended') running.get(assignment.dbid)?.instance.gate?.setSyncRep(false)
                },
              },
            }),
        }),
      }
    },
  },
  {
    name: 'catalog-not-awaited',
    firstSeed: 8,
    bug: 'a change of the catalog counts as made before it is durable',
    found: ['I3', 'uncaught'],
    plant: () => ({
      store: (store) => ({
        load: () => store.load(),
        change: (change) => {
          store.change(change).catch(() => undefined)
          return Promise.resolve()
        },
      }),
    }),
  },
  {
    name: 'promote-out-of-sync',
    firstSeed: 5,
    bug: 'the catalog keeps calling a pair in sync when its mirror has gone, so that the mirror is promoted later',
    found: ['I2', 'I3', 'uncaught', 'lost'],
    plant: () => ({
      store: (store) => ({
        load: () => store.load(),
        change: (change) => {
          for (const row of (change.rows ?? []) as unknown as {
            mode: string
            status: string
            role: string
          }[]) {
            if (row.role === 'm') row.status = 'u'
            row.mode = 's'
          }
          return store.change(change)
        },
      }),
    }),
  },
  {
    name: 'in-sync-too-early',
    firstSeed: 10,
    bug: 'a mirror that catches up is called in sync before it has everything that was told',
    found: ['I1', 'lost'],
    plant: () => ({
      wal: hubWith((hub) => {
        const status = hub.mirrorStatus.bind(hub)
        hub.mirrorStatus = () => {
          const real = status()
          return real.state === 'none'
            ? real
            : { ...real, state: 'streaming', flushLsn: Number.MAX_SAFE_INTEGER, caughtUp: true }
        }
      }),
    }),
  },
  {
    name: 'settled-told-late',
    firstSeed: 48,
    bug: 'which statements took effect is told to the mirror one piece of WAL too late, so that a failover runs some again',
    found: ['doubled', 'appeared'],
    plant: () => ({
      wal: hubWith((hub) => {
        const publish = hub.publish.bind(hub)
        let late: readonly SettledEntry[] = []
        hub.publish = (wal, settled, incarnation) => {
          publish(wal, late, incarnation)
          late = settled
        }
      }),
    }),
  },
  {
    name: 'promote-forgets-last-flush',
    firstSeed: 8,
    bug: 'a promotion ends recovery one flush before the end of the received WAL',
    // The instance refuses to serve after such a promotion, so the content stays down.
    found: ['lost', 'liveness'],
    plant: () => ({
      engine: (engine) => {
        const arrived = engine.walArrived.bind(engine)
        let before: [number, number] | undefined
        engine.walArrived = (timeline, end) => {
          if (before !== undefined && before[1] !== end) arrived(...before)
          before = [timeline, end]
        }
        return engine
      },
    }),
  },
  {
    name: 'prepared-forgotten',
    firstSeed: 15,
    bug: 'a lane opens without looking for prepared transactions',
    found: ['I6'],
    plant: () => ({
      engine: (engine) => {
        rewriteSql(engine, /pg_prepared_xact\(\)/, 'SET nothing')
        return engine
      },
    }),
  },
  {
    name: 'decision-forgotten',
    firstSeed: 59,
    bug: 'a prepared transaction is rolled back although another participant has committed it',
    found: ['I9', 'lost', 'I6'],
    plant: () => ({
      engine: (engine) => {
        rewriteSql(engine, /SELECT gid FROM pg_catalog\.dtx_committed/, 'SET nothing')
        return engine
      },
    }),
  },
  {
    name: 'epoch-ignored',
    firstSeed: 80,
    bug: 'a coordinator that was replaced goes on with the epoch of its successor',
    found: ['I4', 'lost', 'I3', 'I9', 'appeared', 'liveness'],
    plant: () => {
      let newest = 1
      const adopt = <T>(message: T): T => {
        const { epoch } = message as { epoch?: unknown }
        if (typeof epoch !== 'number' || epoch === 0) return message
        newest = Math.max(newest, epoch)
        return { ...message, epoch: newest }
      }
      return {
        ports: (ports, { content }) => {
          if (content >= 0) return ports
          return withConnections(
            ports,
            (connection) => {
              const request = connection.request.bind(connection)
              connection.request = (message, timeoutMs) => request(adopt(message), timeoutMs)
            },
            adopt,
          )
        },
      }
    },
  },
  {
    name: 'written-as-flushed',
    firstSeed: 1,
    bug: 'a mirror reports what it has written as flushed',
    found: ['I1'],
    plant: () => ({
      ports: (ports) =>
        withSends(ports, (message) =>
          message.type === 'wal.flushed' ? { ...message, flushLsn: message.writeLsn } : message,
        ),
    }),
  },
  {
    name: 'failed-fsync-forgiven',
    firstSeed: 268,
    bug: 'an fsync of a mirror that has failed counts as done',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withFailedSyncsForgiven(ports.disk) }) }),
  },
  {
    name: 'epoch-forgotten',
    firstSeed: 1,
    bug: 'the epoch that an instance has promised is not written down',
    found: ['I4', 'lost', 'appeared', 'doubled'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutFiles(ports.disk, (path) => path.endsWith('/epoch.json')),
      }),
    }),
  },
  {
    name: 'syncrep-on-forgotten',
    firstSeed: 1,
    bug: 'that commits wait for the mirror is not written down before the pair is called in sync',
    found: ['I2', 'I3', 'lost'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutFiles(
          ports.disk,
          (path, text) => path.endsWith('/sync-rep.json') && text.includes('true'),
        ),
      }),
    }),
  },
  {
    name: 'copy-not-marked',
    firstSeed: 124,
    bug: 'that a copy of the base has begun is not written down',
    found: ['torn', 'I5'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutFiles(ports.disk, (path) => path.endsWith('/copying.json')),
      }),
    }),
  },
  {
    name: 'commit-row-forgotten',
    firstSeed: 235,
    bug: 'a prepared transaction does not carry the row by which others learn that it was committed',
    found: ['I9', 'lost', 'I6'],
    plant: () => ({
      engine: (engine) => {
        rewriteSql(engine, /INSERT INTO pg_catalog\.dtx_committed/, 'SET nothing')
        return engine
      },
    }),
  },
  {
    name: 'settled-ignored',
    firstSeed: 261,
    bug: 'the coordinator runs statements again after a failover without asking whether they have taken effect',
    found: ['doubled'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          return answer.type === 'dispatch.settledAre' ? { ...answer, floor: 0, settled: [] } : answer
        }),
    }),
  },
  {
    name: 'promote-not-sent',
    firstSeed: 8,
    bug: 'FTS takes PROMOTE for sent when it is not',
    found: ['liveness'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, (message, really) =>
          really(
            message.type === 'segment.promote' ? { ...message, type: 'fts.probe', mirror: null } : message,
          ),
        ),
    }),
  },
  {
    name: 'stale-standby-activated',
    firstSeed: 498,
    bug: 'a standby does not mind that segments know it to be behind',
    found: ['lost', 'I3', 'I4', 'uncaught', 'appeared'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          return answer.type === 'epoch.promised' ? { ...answer, standbyStale: false } : answer
        }),
    }),
  },
]
