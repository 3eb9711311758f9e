/**
 * Planted bugs that the simulation must find: each breaks one promise, from outside, by putting something between an actor and a port. Nothing in the
 * production code knows of them. A simulation that does not find one of these would not find the like of it either.
 */
import type { WalParts } from '@mirabelle/instance'
import type { Dbid, SettledEntry } from '@mirabelle/messages'
import type { Disk, FileHandle } from '@mirabelle/runtime'
import type { SimEngine } from './sim-engine.ts'
import type { RunningInstance, SimOverrides } from './sim-cluster.ts'
import { frontendQueries, queryBytes } from './pg-bytes.ts'

export interface Mutant {
  readonly name: string
  /** What is wrong, as one would find it in a commit. */
  readonly bug: string
  /** The promises whose breach shows it. */
  readonly found: readonly string[]
  /** Makes it anew for each seed. */
  readonly plant: () => SimOverrides
}

export const mutants: readonly Mutant[] = [
  {
    name: 'ack-before-fsync',
    bug: 'a mirror acknowledges WAL that it has written but not made durable',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withoutSync(ports.disk) }) }),
  },
  {
    name: 'answer-before-fsync',
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
          const { network } = ports
          return {
            ...ports,
            network: {
              listen: (endpoint, self, accept) => network.listen(endpoint, self, accept),
              connect: async (endpoint, hello, options) => {
                const connection = await network.connect(endpoint, adopt(hello), options)
                const request = connection.request.bind(connection)
                connection.request = (message, timeoutMs) => request(adopt(message), timeoutMs)
                return connection
              },
            },
          }
        },
      }
    },
  },
]

/** A disk whose files say that they are synced when they are not. */
function withoutSync(disk: Disk): Disk {
  return wrapDisk(disk, (file) => ({ sync: () => file.size().then(() => undefined) }))
}

function wrapDisk(disk: Disk, change: (file: FileHandle) => Partial<FileHandle>): Disk {
  return {
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      return {
        read: (position, length) => file.read(position, length),
        write: (position, bytes) => file.write(position, bytes),
        truncate: (length) => file.truncate(length),
        reserve: (length) => file.reserve(length),
        size: () => file.size(),
        sync: () => file.sync(),
        close: () => file.close(),
        ...(path.includes('/wal/') ? change(file) : {}),
      }
    },
    readFile: (path) => disk.readFile(path),
    writeFileDurable: (path, content) => disk.writeFileDurable(path, content),
    list: (path) => disk.list(path),
    exists: (path) => disk.exists(path),
    makeDir: (path) => disk.makeDir(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    syncDir: (path) => disk.syncDir(path),
  }
}

type HubOptions = Parameters<WalParts['createHub']>[0]
type Hub = ReturnType<WalParts['createHub']>

/** WAL parts whose walsender hub is changed after it is made. */
function hubWith(change: (hub: Hub, options: HubOptions) => void): (wal: WalParts) => WalParts {
  return (wal) => ({
    ...wal,
    createHub: (options) => {
      const hub = wal.createHub(options)
      change(hub, options)
      return hub
    },
  })
}

/** Replaces statements on their way into the engine. */
function rewriteSql(engine: SimEngine, pattern: RegExp, instead: string): void {
  const submit = engine.submit.bind(engine)
  engine.submit = (request) => {
    const texts = frontendQueries(request.bytes)
    if (!texts.some((text) => pattern.test(text))) return submit(request)
    const bytes = Buffer.concat(texts.map((text) => queryBytes(pattern.test(text) ? instead : text)))
    return submit({ ...request, bytes })
  }
}
