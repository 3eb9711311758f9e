import t from 'tap'
import { RequestQueue, type Pending } from '../src/host/request-queue.ts'

const pending = (tag: number, bytes = 10): Pending => ({
  request: {
    tag,
    bytes: new Uint8Array(bytes).fill(tag),
    syncs: 1,
  },
  seq: 0,
  resolve: () => undefined,
  reject: () => undefined,
  handedOut: Promise.resolve(),
  done: false,
})

t.test('batches keep the order, are bounded in count and bytes, and two are out at most', (t) => {
  const queue = new RequestQueue()
  for (let tag = 1; tag <= 100; tag++) queue.add(pending(tag))
  for (const tag of [101, 102]) queue.add(pending(tag, 200_000))
  const first = queue.nextBatch()
  const second = queue.nextBatch()
  t.equal(queue.nextBatch(), undefined)
  t.equal(first?.requests.length, 64)
  t.equal(second?.requests.length, 37)
  t.same([...(second?.bytes.subarray(0, 11) ?? [])], [...Array<number>(10).fill(65), 66])
  queue.batchDone()
  t.equal(queue.nextBatch()?.requests.length, 1)
  t.end()
})

t.test('after a restart what had not begun goes first again, in order', (t) => {
  const queue = new RequestQueue()
  const all = [1, 2, 3, 4].map((tag) => pending(tag))
  for (const one of all) queue.add(one)
  queue.nextBatch()
  queue.add(pending(5))
  queue.finish((all[0] as Pending).seq)
  const back = queue.unfinished(new Set([(all[1] as Pending).seq]))
  t.same(
    back.map((one) => one.request.tag),
    [3, 4],
  )
  queue.putInFront(back)
  const again = queue.nextBatch()
  t.equal(again?.requests.length, 3)
  t.equal(again?.bytes[0], 3)
  t.end()
})
