import t from 'tap'
import { join } from 'node:path'
import { realClock, realDisk, realNetwork, realRandom } from '@mirabelle/runtime'
import type { Ports } from '@mirabelle/runtime'
import {
  FakePrimary,
  payload,
  SEGMENT,
  quiet,
  startMirror,
  tempDir,
  until,
  walIn,
} from './support/fixture.ts'

t.test(
  'over TCP the mirror has what the primary wrote, and comes back after the primary was gone',
  async (t) => {
    const root = tempDir(t)
    const network = realNetwork({ clusterKey: new Uint8Array(32).fill(5), log: quiet })
    const ports: Ports = { clock: realClock, disk: realDisk, random: realRandom, network, log: quiet }
    const primary = new FakePrimary(join(root, 'p'), ports)
    t.teardown(() => primary.hub.stop())
    const listener = await primary.listen(network, 0, '127.0.0.1')
    primary.hub.settledReset('run-1', 0)
    primary.write([payload(3_000_000)])
    const m = startMirror(t, ports, primary, {
      dir: join(root, 'm'),
      peer: { dbid: 2, endpoint: { addresses: ['127.0.0.1'], port: primary.port } },
    })
    await until('caught up', () => primary.hub.mirrorStatus().caughtUp)
    for (let i = 0; i < 300; i++) {
      primary.write([payload(300, i)])
      if (i % 10 === 0) await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    }
    await until('flushed', () => primary.flushed.at(-1) === primary.position.lsn)
    const [row] = primary.hub.replicationRows()
    t.match(row, { state: 'streaming', flushLsn: primary.position.lsn })
    t.ok(row !== undefined && row.flushLagMs !== null && row.flushLagMs >= 0)

    await listener.close()
    primary.hub.stop()
    await until('the mirror noticed', () => m.receiver.state === 'waiting')
    const next = new FakePrimary(primary.dir, ports, primary.position.lsn)
    t.teardown(() => next.hub.stop())
    next.position = primary.position
    next.write([payload(500_000)], { publish: false })
    const again = await next.listen(network, primary.port, '127.0.0.1')
    t.teardown(() => again.close())
    await until('caught up again', () => next.hub.mirrorStatus().caughtUp)
    const end = next.position.lsn
    t.ok(walIn(primary.dir, 1, SEGMENT, end).equals(walIn(m.dir, 1, SEGMENT, end)))
    await m.receiver.stop()
  },
)
