/** Bytes that are damaged on their way between processes. */
import type { Fault } from './fault.ts'
import { nameOf, oneRunning } from './signals.ts'

/** Of the pieces that arrive. */
const SHARE = 0.1

export const damageFaults = {
  'damage-bytes': {
    description:
      'until the end of the round now and then a bit of what an instance receives from the others is turned',
    weight: 5,
    strike: async (context) => {
      const { view } = context
      const one = await oneRunning(context)
      if (one === undefined) return undefined
      const { damage } = view
      const { sqlPort } = await view.lastAssignment(one.dbid)
      damage.begin(one.pid, { share: SHARE, exceptPort: sqlPort })
      const isCoordinator = one.content === -1 && one.role === 'p'
      return {
        what: `bits of what ${nameOf(one)} receives are turned`,
        contents: isCoordinator ? view.allContents : [one.content],
        release: () => damage.end(one.pid),
      }
    },
  },
} satisfies Record<string, Fault>
