/** Loss of power: only what was made durable is left. */
import { formatLsn } from '@mirabelle/messages'
import { killBelow } from '../../cluster/processes-below.ts'
import type { Loss, Power } from '../../power/power.ts'
import type { Told } from '../../power/told-durable.ts'
import { pause } from '../../cluster/wait-for.ts'
import type { SimRandom } from '../../sim/sim-random.ts'
import type { ClusterView, Seen } from './cluster-view.ts'
import type { Fault } from './fault.ts'
import { isRunning } from './signals.ts'

/** How long disks hang before the power goes, ms: what is told meanwhile is told without them, and a checkpoint may come by. */
const HANG_MS = [50, 2_500] as const
/** How often the power goes once more, right after a start. */
const AGAIN = 0.4
/** How long the cluster runs then, ms: what its start has written has to be durable. */
const UP_MS = [0, 3_000] as const
const START_MS = 60_000

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
    weight: 8,
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
      const told = await toldDurable(view, lost)
      const { processes, files, liars } = await lose(view, power, all ? undefined : host, random, told)
      const hasCoordinator = lost.some((one) => one.content === -1 && one.role === 'p')
      const where = all ? 'all hosts' : host
      const hung =
        hanging.length === 0 ? '' : `; fsyncs of dbid ${hanging.map(({ dbid }) => dbid).join()} hung`
      if (liars.length > 0) throw new NotDurable(liars)
      const isAgain = random.chance(AGAIN)
      // The second time it is lost on all hosts.
      const hit = hasCoordinator || isAgain ? seen : lost
      return {
        ...(isAgain ? { running: loseAgain(view, power, random) } : {}),
        what: `power lost on ${where}: ${processes} processes, ${files} files were not durable${hung}`,
        contents: [...new Set(hit.map(({ content }) => content))].sort((a, b) => a - b),
      }
    },
  },
} satisfies Record<string, Fault>

/** It comes up, and loses its power on all hosts before long. */
async function loseAgain(view: ClusterView, power: Power, random: SimRandom): Promise<string> {
  const cluster = await view.administrator()
  const started = await cluster.start({ timeoutMs: START_MS, syncTimeoutMs: 0 }).then(
    () => 'it is started',
    (error: unknown) => `it is not started: ${(error as Error).message}`,
  )
  await pause(random.between(...UP_MS))
  return `${started}; ${await endEverything(view, random)}`
}

/** Power is lost on all hosts; where that is not possible everything gets SIGKILL. Resolves with what was done. */
export async function endEverything(view: ClusterView, random: SimRandom): Promise<string> {
  const { power } = view
  if (power === undefined) return `SIGKILL to all ${killBelow(view.dir).length} processes`
  const told = await toldDurable(view, await view.look())
  const { files, liars } = await lose(view, power, undefined, random, told)
  if (liars.length > 0) throw new NotDurable(liars)
  return `power lost on all hosts: ${files} files were not durable`
}

/** What those that run and answer say is durable. */
async function toldDurable(view: ClusterView, seen: readonly Seen[]): Promise<Told[]> {
  const told = await Promise.all(seen.filter(isRunning).map((one) => view.toldDurable(one)))
  return told.filter((one) => one !== undefined)
}

/** On all hosts, or on one. Service managers start with their hosts, and the agents with them. */
async function lose(
  view: ClusterView,
  power: Power,
  host: string | undefined,
  random: SimRandom,
  told: readonly Told[],
): Promise<Loss> {
  const { services } = view
  const hosts = host === undefined ? view.hosts : [host]
  const off = services === undefined ? [] : await Promise.all(hosts.map((name) => services.powerOff(name)))
  const dir = host === undefined ? view.dir : view.dirOf(host)
  const loss = await power.lose(dir, keptBy(random), told)
  for (const name of hosts) services?.start(name)
  return { ...loss, processes: loss.processes + off.flat().length }
}

/** All that is not durable is lost, or of some files nothing and of others the last writes: a disk writes in any order what it was not told to sync. */
function keptBy(random: SimRandom): (writes: number) => number {
  if (random.chance(0.5)) return () => 0
  return (writes) => random.pick([0, writes, random.below(writes + 1)])
}

async function hang(view: ClusterView, { dbid, role }: Seen): Promise<void> {
  const point = role === 'p' ? 'fsync.wal.primary.before' : 'fsync.wal.mirror.before'
  await view.points.inject(dbid, point, 'suspend', { end: -1 }).catch(() => undefined) // it is stopped, or has just died
}
