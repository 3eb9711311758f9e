/** Planted bugs about who rules: epochs, marks, activations, and what a primary may say without its mirror. */
import {
  hubWith,
  withIncoming,
  withLsn,
  withoutFiles,
  withoutWaitingFor,
  withRequests,
} from './mutant-tools.ts'
import type { Mutant } from './mutant.ts'

export const roleMutants: readonly Mutant[] = [
  {
    name: 'mirror-away-ignored',
    firstSeed: 62,
    bug: 'a primary that waits for its mirror goes on answering reads when the mirror is away',
    found: ['I4'],
    plant: () => ({
      wal: hubWith((hub) => {
        const status = hub.mirrorStatus.bind(hub)
        hub.mirrorStatus = () => {
          const real = status()
          return real.state === 'none' && real.dbid !== 0 ? { ...real, state: 'startup' } : real
        }
      }),
    }),
  },
  {
    name: 'lower-epoch-accepted',
    firstSeed: 60,
    bug: 'an instance obeys a coordinator of a lower epoch than it has promised',
    found: ['I4'],
    plant: () => {
      const promised = new Map<number, number>()
      return {
        ports: (ports, { dbid }) =>
          withIncoming(ports, (message) => {
            const { epoch } = message as { epoch?: unknown }
            if (typeof epoch !== 'number' || epoch === 0) return message
            const highest = Math.max(epoch, promised.get(dbid) ?? 0)
            promised.set(dbid, highest)
            return { ...message, epoch: highest }
          }),
      }
    },
  },
  {
    name: 'epoch-not-awaited',
    firstSeed: 51,
    bug: 'an epoch is told to be promised before that is durable',
    found: ['I4'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutWaitingFor(ports.disk, (path) => path.endsWith('/epoch.json')),
      }),
    }),
  },
  {
    name: 'mark-not-counted',
    firstSeed: 1271,
    bug: 'a coordinator goes on without its standby although too few segments could be told',
    found: ['I3', 'lost'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, (message, really) => {
          if (message.type !== 'standby.mark') return really(message)
          const { stale } = message
          return really(message).catch(() => ({ type: 'standby.marked', stale }))
        }),
    }),
  },
  {
    name: 'record-failure-forgiven',
    firstSeed: 51,
    bug: 'a change of the catalog that failed counts as recorded',
    found: ['I3', 'I2', 'uncaught'],
    plant: () => ({
      store: (store) => ({
        load: () => store.load(),
        change: (change) => store.change(change).catch(() => undefined),
      }),
    }),
  },
  {
    name: 'syncrep-off-forgotten',
    firstSeed: 29,
    bug: 'that commits do not wait for the mirror any more is not written down',
    found: ['I3'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutFiles(
          ports.disk,
          (path, text) => path.endsWith('/sync-rep.json') && text.includes('false'),
        ),
      }),
    }),
  },
  {
    name: 'epoch-not-claimed',
    firstSeed: 28,
    bug: 'a standby takes over with an epoch that nobody was asked to promise',
    found: ['I4', 'lost'],
    plant: () => ({
      ports: (ports, { content, role }) => {
        if (content !== -1 || role !== 'm') return ports
        let asked = 0
        return withRequests(ports, (message, really) => {
          if (message.type !== 'epoch.promise') return really(message)
          asked = asked === 0 ? message.epoch : asked
          return message.epoch === asked
            ? really(message)
            : Promise.resolve({
                type: 'epoch.promised',
                epoch: message.epoch,
                isRoleMirror: false,
                standbyStale: false,
                timeline: 1,
                flushLsn: 0,
              })
        })
      },
    }),
  },
  {
    name: 'prepare-not-durable',
    firstSeed: 197,
    bug: 'COMMIT PREPARED is sent before what was prepared is durable anywhere',
    // The answer need not wait for the mirror then, so it is told although that is away.
    found: ['I4', 'I9', 'lost', 'I6', 'liveness'],
    plant: () => ({ engine: (engine) => withLsn(engine, /^PREPARE TRANSACTION/, 0) }),
  },
  {
    name: 'newer-mirror-served',
    firstSeed: 849,
    bug: 'a primary streams to a mirror that obeys a newer coordinator than it does',
    found: ['I4'],
    plant: () => ({
      ports: (ports) =>
        withIncoming(ports, (message) =>
          (message as { type?: unknown }).type === 'wal.start' ? { ...message, epoch: 1 } : message,
        ),
    }),
  },
]
