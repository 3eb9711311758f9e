/** What a stop of a cluster may not wait for. */
import t from 'tap'
import { SimCluster } from '../../src/sim/sim-cluster.ts'
import { defaultLayout } from '../../src/sim/sim-layout.ts'
import { SimWorld } from '../../src/sim/sim-world.ts'

void t.test(
  'a coordinator whose standby and segments are gone stops, although it has not recorded that',
  async (t) => {
    const world = new SimWorld(11)
    const cluster = new SimCluster(world, defaultLayout)
    await cluster.boot()
    const service = cluster.coordinator()?.service
    await world.run(
      () => service?.topology.rows().every(({ content, mode }) => content < 0 || mode === 's') === true,
    )
    const { host } = cluster.running.get(1)?.process ?? {}
    const { port } = cluster.running.get(1)?.instance ?? {}
    if (host === undefined || port === undefined) throw new Error('there is no coordinator')
    // The primaries are dead and their mirrors in sync: that has to be recorded, and waits for a standby whose absence too few can remember.
    for (const dbid of [2, 3, 6, 4]) cluster.running.get(dbid)?.process.kill()
    await world.run(() => false, world.nowMs + 1_000)
    t.equal(service?.fts.contentState(1)?.machineState, 'recordingFailover')
    cluster.tell(host, port, { type: 'cluster.stop', mode: 'fast' })
    await world.run(() => !cluster.running.has(1), world.nowMs + 60_000)
    t.notOk(cluster.running.has(1))
    t.notOk(cluster.running.has(5))
  },
)
