/** The simulated ports promise what the real ones do: the suites of the runtime, run for this side. */
import t from 'tap'
import type { ClockWorld } from '../../../runtime/test/suites/clock-suite.ts'
import { clockSuite } from '../../../runtime/test/suites/clock-suite.ts'
import { diskSuite } from '../../../runtime/test/suites/disk-suite.ts'
import { networkSuite } from '../../../runtime/test/suites/network-suite.ts'
import { SimFabric } from '../../src/sim/sim-network.ts'
import { SimHost } from '../../src/sim/sim-host.ts'
import { SimWorld } from '../../src/sim/sim-world.ts'

function oneHost(seed: number) {
  const world = new SimWorld(seed)
  const host = new SimHost(new SimFabric(world), 'h1')
  const ports = host.portsOf(host.spawn('test'))
  return { world, host, ports, until: <T>(promise: Promise<T>): Promise<T> => world.until(promise) }
}

void t.test('the simulated clock', (t) => {
  clockSuite(t, (): ClockWorld => {
    const { ports, until } = oneHost(1)
    return { clock: ports.clock, until }
  })
  t.end()
})

void t.test('the simulated disk', (t) => {
  diskSuite(t, () => {
    const { ports, host, until } = oneHost(2)
    host.files.makeFolder('/data')
    return Promise.resolve({ disk: ports.disk, folder: '/data', until, close: () => Promise.resolve() })
  })
  t.end()
})

void t.test('the simulated network', (t) => {
  networkSuite(t, () => {
    const { ports, until } = oneHost(3)
    return Promise.resolve({
      network: ports.network,
      stranger: undefined,
      clock: ports.clock,
      address: 'h1',
      deadAddress: 'nowhere',
      until,
      close: () => Promise.resolve(),
    })
  })
  t.end()
})
