/** Planted bugs about what comes after a failure: what an earlier process left on the disk, copies, promotions, the end of what was prepared. */
import {
  rewriteSql,
  withIncoming,
  withFailuresLetPass,
  withKillsBelieved,
  withoutFiles,
  withoutSyncingNames,
  withoutSyncingTails,
  withRequests,
  withUnreadable,
  withWritesUnderWayForgotten,
} from './mutant-tools.ts'
import type { Mutant } from './mutant.ts'
import { SIM_SEGMENT_BYTES } from './sim-wal-paths.ts'

export const recoveryMutants: readonly Mutant[] = [
  {
    name: 'tail-not-synced',
    firstSeed: 746,
    bug: 'a mirror begins to stream behind WAL that an earlier process has written and not made durable',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withoutSyncingTails(ports.disk) }) }),
  },
  {
    name: 'write-under-way-forgotten',
    firstSeed: 29,
    bug: 'a mirror takes what it writes while a flush begins for part of that flush',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withWritesUnderWayForgotten(ports.disk) }) }),
  },
  {
    name: 'commit-prepared-may-fail',
    firstSeed: 509,
    bug: 'PostgreSQL goes on after a COMMIT PREPARED that has failed',
    found: ['I6', 'lost', 'I9'],
    plant: () => ({ engine: (engine) => withFailuresLetPass(engine) }),
  },
  {
    name: 'rolled-back-committed',
    firstSeed: 16,
    bug: 'what has been prepared and has to be rolled back is committed',
    found: ['I9', 'lost', 'appeared', 'doubled'],
    plant: () => ({
      engine: (engine) => {
        rewriteSql(engine, /^ROLLBACK PREPARED/, (text) => text.replace('ROLLBACK', 'COMMIT'))
        return engine
      },
    }),
  },
  {
    name: 'names-not-synced',
    firstSeed: 1,
    bug: 'a mirror makes a new segment durable, but not its name',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withoutSyncingNames(ports.disk) }) }),
  },
  {
    name: 'role-not-written',
    firstSeed: 131,
    bug: 'that a folder is still that of a mirror is not written down, so that it opens before its promotion has ended',
    found: ['I5'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withoutFiles(ports.disk, (path, text) => path.endsWith('/role.json') && text.includes('"m"')),
      }),
    }),
  },
  {
    name: 'mirror-never-down',
    firstSeed: 27,
    bug: 'a primary asks for ever to be asked again, because its mirror may still come back',
    found: ['liveness'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          return answer.type === 'fts.probed' && !answer.isMirrorUp && answer.roleState === 'primary'
            ? { ...answer, requestRetry: true }
            : answer
        }),
    }),
  },
  {
    name: 'floor-ignored',
    firstSeed: 546,
    bug: 'statements whose outcome nobody remembers any more count as not run',
    found: ['doubled', 'appeared'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          return answer.type === 'dispatch.settledAre' ? { ...answer, floor: 0 } : answer
        }),
    }),
  },
  {
    name: 'big-answers-ignored',
    firstSeed: 1760,
    bug: 'statements that took effect, but whose answer was too big to be kept, run again',
    found: ['doubled', 'appeared'],
    plant: () => ({
      ports: (ports) =>
        withRequests(ports, async (message, really) => {
          const answer = await really(message)
          if (answer.type !== 'dispatch.settledAre') return answer
          return { ...answer, settled: answer.settled.filter(([, , output]) => output !== null) }
        }),
    }),
  },
  {
    name: 'copy-mark-ignored',
    firstSeed: 124,
    bug: 'an instance starts on a base that was copied in part, although that is written down',
    found: ['torn', 'I5'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withUnreadable(ports.disk, (path) => path.endsWith('/copying.json')),
      }),
    }),
  },
  {
    name: 'kill-believed',
    firstSeed: 8,
    bug: 'an agent takes a process for ended when it has sent SIGKILL',
    found: ['I4'],
    plant: () => ({ processes: withKillsBelieved }),
  },
  {
    name: 'revived-unasked',
    firstSeed: 98,
    bug: 'a copy that lacks something takes over although nobody has accepted the loss',
    found: ['lost'],
    plant: () => ({
      ports: (ports) =>
        withIncoming(ports, (message) =>
          (message as { type?: unknown }).type === 'cluster.revive'
            ? { ...message, acceptDataLoss: [0, 1, 2] }
            : message,
        ),
    }),
  },
  {
    name: 'base-begins-late',
    firstSeed: 1,
    bug: 'a mirror deletes WAL that its new base needs',
    found: ['I5', 'I1'],
    plant: () => ({
      buildBase: (build) => async (request) => {
        const built = await build(request)
        return { ...built, startLsn: built.startLsn + SIM_SEGMENT_BYTES }
      },
    }),
  },
  {
    name: 'base-ends-early',
    firstSeed: 239,
    bug: 'a mirror goes over to a new base before all WAL of the backup has arrived',
    found: ['I5'],
    plant: () => ({
      buildBase: (build) => async (request) => {
        const built = await build(request)
        return { ...built, endLsn: 0 }
      },
    }),
  },
]
