/** Faults of the disk of one host: slow, hanging, failing, full. */
import type { PlannedFault } from './fault-plan.ts'
import type { SimHost } from './sim-host.ts'
import type { SimRandom } from './sim-random.ts'

/** Begins it; `later` runs what ends it. */
export function beginDiskFault(
  { kind, forMs }: PlannedFault,
  random: SimRandom,
  { disk, name, world }: SimHost,
  later: (end: () => void) => void,
): void {
  const say = (what: string): void => world.trace.add('fault', `the disk of ${name} ${what}`)
  if (kind === 'slowDisk') {
    disk.slowness = random.pick([5, 30, 200, 1000])
    say(`is ${disk.slowness} times slower`)
    later(() => (disk.slowness = 1))
  } else if (kind === 'hangDisk') {
    say(`hangs for ${forMs.toFixed(0)} ms`)
    disk.hangsUntilMs = world.nowMs + forMs
  } else if (kind === 'failSync') {
    disk.failSync = true
    say('fails to sync')
    later(() => (disk.failSync = false))
  } else {
    disk.full = true
    say('is full')
    later(() => (disk.full = false))
  }
}
