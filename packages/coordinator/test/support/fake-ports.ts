/** Ports for tests: a clock that the test moves, no log, no network, no disk unless given. */
import { silentLogger, type Ports } from '@mirabelle/runtime'
import type { ManualClock } from './manual-clock.ts'

const refuse = (name: string) =>
  new Proxy(
    {},
    {
      get: (_target, key) => () => {
        throw new Error(`the test has no ${name}.${String(key)}`)
      },
    },
  )

export function fakePorts(clock: ManualClock, over: Partial<Ports> = {}): Ports {
  let number = 0
  return {
    clock,
    log: silentLogger,
    network: refuse('network') as Ports['network'],
    disk: refuse('disk') as Ports['disk'],
    random: { next: () => 0.5, hex: (bytes) => (++number).toString(16).padStart(bytes * 2, 'a') },
    ...over,
  }
}
