/** What a segment does with statements that it has not begun when its coordinator goes. */
import t from 'tap'
import { idsIn, item } from '../../src/sim/client-tools.ts'
import { SimCluster } from '../../src/sim/sim-cluster.ts'
import { defaultLayout, initialCatalog } from '../../src/sim/sim-layout.ts'
import { SimWorld } from '../../src/sim/sim-world.ts'

const CONTENT = 1
const LIST = 'c1.0'

void t.test(
  'a transaction that was to be rolled back is not committed by the COMMIT of the one behind it',
  async (t) => {
    const world = new SimWorld(12)
    const cluster = new SimCluster(world, defaultLayout)
    await cluster.boot()
    const first = cluster.coordinator()
    const dispatcher = first?.service?.dispatcher
    const segment = cluster.running.get(3)
    if (first === undefined || dispatcher === undefined || segment === undefined)
      throw new Error('the cluster does not run')
    const append = async (id: string) => {
      const transaction = dispatcher.begin()
      await transaction.touch([CONTENT])
      return { transaction, ...transaction.run(CONTENT, item(`append ${LIST} ${id}`, true)) }
    }
    const undone = await world.until(append('undone'))
    await world.until(undone.promise)
    segment.process.pause()
    void undone.transaction.rollback()
    const next = await world.until(append('next'))
    next.promise.catch(() => undefined)
    next.transaction.commit().catch(() => undefined)
    await world.run(() => false, world.nowMs + 20)
    first.process.kill()
    await world.run(() => false, world.nowMs + 20)
    segment.process.resume()
    await world.run(() => false, world.nowMs + 200)
    const catalog = initialCatalog(cluster.layout)
    cluster.startCoordinator(catalog.rows[0] as (typeof catalog.rows)[number], 'p', catalog)
    await world.run(() => cluster.allOpen(), world.nowMs + 30_000)
    const read = cluster.coordinator()?.service?.dispatcher.runOne(CONTENT, item(`list ${LIST}`, false))
    const { output } = await world.until(
      read?.promise ?? Promise.reject(new Error('the coordinator is not open')),
    )
    t.notOk(idsIn(output).includes('undone'), idsIn(output).join(' '))
  },
)
