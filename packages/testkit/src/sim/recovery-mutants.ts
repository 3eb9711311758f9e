/** Planted bugs about what comes after a failure: what an earlier process left on the disk, copies, promotions, the end of what was prepared. */
import { withFailuresLetPass, withoutSyncingTails, withUnreadable } from './mutant-tools.ts'
import type { Mutant } from './mutant.ts'

export const recoveryMutants: readonly Mutant[] = [
  {
    name: 'tail-not-synced',
    firstSeed: 544,
    bug: 'a mirror begins to stream behind WAL that an earlier process has written and not made durable',
    found: ['I1'],
    plant: () => ({ ports: (ports) => ({ ...ports, disk: withoutSyncingTails(ports.disk) }) }),
  },
  {
    name: 'commit-prepared-may-fail',
    firstSeed: 41,
    bug: 'PostgreSQL goes on after a COMMIT PREPARED that has failed',
    found: ['I6', 'lost', 'I9'],
    plant: () => ({ engine: (engine) => withFailuresLetPass(engine) }),
  },
  {
    name: 'copy-mark-ignored',
    firstSeed: 2,
    bug: 'an instance starts on a base that was copied in part, although that is written down',
    found: ['torn', 'I5'],
    plant: () => ({
      ports: (ports) => ({
        ...ports,
        disk: withUnreadable(ports.disk, (path) => path.endsWith('/copying.json')),
      }),
    }),
  },
]
