/** The parts of COPY FROM STDIN: what comes in pieces is read in one, and rows go out in blocks. */
import t from 'tap'
import { CopyBlocks } from '../src/copy/copy-blocks.ts'
import { CopyChannel } from '../src/copy/copy-channel.ts'
import { SqlError } from '../src/errors.ts'

const bytes = (text: string) => Buffer.from(text)

t.test('what a client has sent since the last read is read in one piece, and then its end', async (t) => {
  const channel = new CopyChannel()
  const first = channel.next()
  for (const row of ['a\n', 'b\n', 'c\n']) t.equal(channel.push(bytes(row)), undefined)
  t.same(String(await first), 'a\nb\nc\n')
  void channel.push(bytes('d\n'))
  channel.done()
  t.ok(channel.ended)
  t.same(String(await channel.next()), 'd\n')
  t.equal(await channel.next(), undefined)
})

t.test('a client waits while too much is unread; an abandoned channel lets it go', async (t) => {
  const channel = new CopyChannel()
  const waits = channel.push(Buffer.alloc(300 * 1024))
  t.ok(waits instanceof Promise)
  t.equal((await channel.next())?.length, 300 * 1024)
  await waits
  const again = channel.push(Buffer.alloc(300 * 1024))
  channel.abandon()
  await again
  t.equal(channel.push(Buffer.alloc(300 * 1024)), undefined, 'what still comes is dropped')
})

t.test('CopyFail comes after what was sent before it; a cancel comes at once', async (t) => {
  const failed = new CopyChannel()
  void failed.push(bytes('a\n'))
  failed.fail('no more')
  t.same(String(await failed.next()), 'a\n')
  await t.rejects(failed.next(), { name: 'SqlError', sqlstate: '57014' } as { name: string })
  const cancelled = new CopyChannel()
  const waiting = cancelled.next()
  cancelled.interrupt(new SqlError('57014', 'cancelled'))
  await t.rejects(waiting, { message: 'cancelled' })
  void cancelled.push(bytes('a\n'))
  await t.rejects(cancelled.next(), { message: 'cancelled' })
})

t.test(
  'rows are put together in whole messages, in order, also one that is larger than a block',
  async (t) => {
    const blocks = new CopyBlocks()
    const rows = [10, 200_000, 5, 100_000, 60_000, 7].map((length, i) => Buffer.alloc(length, 65 + i))
    for (const row of rows) blocks.add(row)
    const total = blocks.bytes
    const messages = blocks.take()
    t.equal(
      messages.reduce((sum, message) => sum + message.length, 0),
      total,
    )
    const payloads = messages.map((message) => {
      const view = Buffer.from(message)
      t.equal(view[0], 0x64)
      t.equal(view.readUInt32BE(1), view.length - 1)
      return view.subarray(5)
    })
    t.ok(Buffer.concat(payloads).equals(Buffer.concat(rows)))
    t.ok(messages.length < rows.length)
    t.same(blocks.take(), [])
    t.equal(blocks.bytes, 0)
  },
)
