import t from 'tap'
import { WAL_PAGE_BYTES } from '../src/layout.ts'
import { WalCapture } from '../src/worker/wal-capture.ts'

/** The bytes of a made-up WAL: each byte tells its position. */
const wal = (from: number, to: number): Uint8Array =>
  Uint8Array.from({ length: to - from }, (_, i) => (from + i) % 251)

t.test('pages that are rewritten until full come out once, in order', (t) => {
  const start = 3 * WAL_PAGE_BYTES + 100
  const capture = new WalCapture(start)
  const taken: number[] = []
  let flushed = start
  for (let step = 1; step <= 200; step++) {
    const flush = start + step * 333
    const pageStart = flushed - (flushed % WAL_PAGE_BYTES)
    const pageEnd = Math.ceil(flush / WAL_PAGE_BYTES) * WAL_PAGE_BYTES
    const bytes = new Uint8Array(pageEnd - pageStart)
    bytes.set(wal(pageStart, flush))
    capture.write(pageStart, bytes)
    flushed = flush
    if (step % 7 === 0) taken.push(...capture.take(flush))
  }
  taken.push(...capture.take(flushed))
  t.same(Uint8Array.from(taken), wal(start, flushed))
  t.end()
})

t.test('only what lies before the last written page is final', (t) => {
  const capture = new WalCapture(10 * WAL_PAGE_BYTES)
  t.equal(capture.finalEnd, 10 * WAL_PAGE_BYTES)
  capture.write(10 * WAL_PAGE_BYTES, new Uint8Array(3 * WAL_PAGE_BYTES))
  t.equal(capture.finalEnd, 12 * WAL_PAGE_BYTES)
  capture.take(12 * WAL_PAGE_BYTES)
  t.equal(capture.written, 13 * WAL_PAGE_BYTES)
  t.equal(capture.take(13 * WAL_PAGE_BYTES).length, WAL_PAGE_BYTES)
  t.end()
})

t.test('holes, steps back and taking too much are errors', (t) => {
  const capture = new WalCapture(10 * WAL_PAGE_BYTES)
  t.throws(() => capture.write(12 * WAL_PAGE_BYTES, new Uint8Array(1)))
  t.throws(() => capture.write(9 * WAL_PAGE_BYTES, new Uint8Array(1)))
  t.throws(() => capture.take(11 * WAL_PAGE_BYTES))
  t.end()
})
