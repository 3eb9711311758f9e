/** A primary and a mirror on one in-memory network, as most streaming tests need them. */
import { join } from 'node:path'
import type t from 'tap'
import type { Message, MessageOf } from '@mirabelle/messages'
import { FakePrimary, payload, SEGMENT, startMirror, tempDir, walIn } from './fixture.ts'
import type { Mirror } from './fixture.ts'
import { memoryNetwork } from './memory-network.ts'

export type Data = MessageOf<'wal.data'>
export const isData = (message: Message): message is Data => message.type === 'wal.data'

export async function pair(
  test: Tap,
  options: { start?: number; records?: number; settledLimit?: { entries: number; bytes: number } } = {},
): Promise<{
  network: ReturnType<typeof memoryNetwork>
  primary: FakePrimary
  mirror: () => Mirror
  root: string
}> {
  const root = tempDir(test)
  const network = memoryNetwork()
  const { start, settledLimit } = options
  const primary = new FakePrimary(
    join(root, 'p'),
    network,
    start,
    settledLimit === undefined ? {} : { settledLimit },
  )
  primary.hub.settledReset('run-1', 0)
  test.teardown(() => primary.hub.stop())
  await primary.listen(network)
  primary.write(Array.from({ length: options.records ?? 10 }, (_, i) => payload(100 + i)))
  return {
    network,
    primary,
    root,
    mirror: () => startMirror(test, network, primary, { dir: join(root, 'm') }),
  }
}

type Tap = Pick<typeof t, 'teardown'>

export const same = (primary: FakePrimary, mirror: Mirror, from = SEGMENT): boolean =>
  walIn(primary.dir, primary.position.timeline, from, primary.position.lsn).equals(
    walIn(mirror.dir, primary.position.timeline, from, primary.position.lsn),
  )
