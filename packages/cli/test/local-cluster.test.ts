// A cluster on this machine is planned on ports that are free, whatever other clusters use beside them.
import { createServer, type AddressInfo } from 'node:net'
import t from 'tap'
import { planLocalCluster } from '../src/describe/local-cluster.ts'

const options = { dir: '/tmp/none', hosts: 3, segments: 2, mirroring: 'group', standby: true } as const

function listen(port: number): Promise<ReturnType<typeof createServer>> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port, exclusive: true }, () => resolve(server))
  })
}

t.test('the standby goes round a port beside the coordinator that somebody else has', async (test) => {
  const taken = await listen(0)
  test.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  let turn = 0
  const plan = await planLocalCluster(
    { ...options, port: port - 1, basePort: undefined },
    () => (turn += 100),
  )
  const ports = plan.rows.filter(({ content }) => content === -1).map((row) => row.port)
  test.equal(ports[0], port - 1)
  test.not(ports[1], port)
})

t.test('a port that was asked for and is taken is refused', async (test) => {
  const taken = await listen(0)
  test.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  await test.rejects(
    planLocalCluster({ ...options, port, basePort: undefined }, () => 0),
    /is in use/,
  )
})
