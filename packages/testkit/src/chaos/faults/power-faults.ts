/** Loss of power: only what was made durable is left. */
import { formatLsn } from '@mirabelle/messages'
import type { Told } from '../../power/told-durable.ts'
import { pause } from '../../cluster/wait-for.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import type { Fault } from './fault.ts'
import { isRunning } from './signals.ts'

/** How long disks hang before the power goes, ms: what is told meanwhile is told without them. */
const HANG_MS = [50, 600] as const

/** An instance had said that WAL is durable, and a loss of power has taken it away. */
export class NotDurable extends Error {
  override readonly name = 'NotDurable'

  constructor(liars: readonly Told[]) {
    const words = liars.map(
      ({ dbid, timeline, flushLsn }) =>
        `dbid ${dbid} had said that WAL up to ${formatLsn(flushLsn)} of timeline ${timeline} is durable`,
    )
    super(`power was lost, and with it what was durable: ${words.join('; ')}`)
  }
}

export const powerFaults = {
  'lose-power': {
    description:
      'SIGKILL to everything on a host, or on all, and what was not made durable is gone from its files; now and then fsyncs of WAL hang just before',
    weight: 6,
    strike: async ({ view, random }) => {
      const { power } = view
      if (power === undefined) return undefined
      const seen = await view.look()
      const host = random.pick([...new Set(seen.map((one) => one.host))].sort())
      const all = random.chance(0.5)
      const lost = seen.filter((one) => all || one.host === host)
      const hanging = random.chance(0.7) ? lost.filter((one) => isRunning(one) && random.chance(0.7)) : []
      await Promise.all(hanging.map((one) => hang(view, one)))
      if (hanging.length > 0) await pause(random.between(...HANG_MS))
      const told = await Promise.all(lost.filter(isRunning).map((one) => view.toldDurable(one)))
      const { processes, files, liars } = await power.lose(
        all ? view.dir : view.dirOf(host),
        keptBy(random),
        told.filter((one) => one !== undefined),
      )
      const hasCoordinator = lost.some((one) => one.content === -1 && one.role === 'p')
      const contents = (hasCoordinator ? seen : lost).map(({ content }) => content)
      const where = all ? 'all hosts' : host
      const hung =
        hanging.length === 0 ? '' : `; fsyncs of dbid ${hanging.map(({ dbid }) => dbid).join()} hung`
      if (liars.length > 0) throw new NotDurable(liars)
      return {
        what: `power lost on ${where}: ${processes} processes, ${files} files were not durable${hung}`,
        contents: [...new Set(contents)].sort((a, b) => a - b),
      }
    },
  },
} satisfies Record<string, Fault>

/** All that is not durable is lost, or of some files nothing and of others the last writes: a disk writes in any order what it was not told to sync. */
function keptBy(random: SimRandom): (writes: number) => number {
  if (random.chance(0.5)) return () => 0
  return (writes) => random.pick([0, writes, random.below(writes + 1)])
}

async function hang(view: ClusterView, { dbid, role }: Seen): Promise<void> {
  const point = role === 'p' ? 'fsync.wal.primary.before' : 'fsync.wal.mirror.before'
  await view.points.inject(dbid, point, 'suspend', { end: -1 }).catch(() => undefined) // it is stopped, or has just died
}
