import t from 'tap'
import type { Clock } from '@mirabelle/runtime'
import { DispatchBatch, type DispatchTuple } from '../src/lanes/dispatch-batch.ts'

/** A batch whose turns of the event loop end when the test says so, and the frames that left. */
function batchWithTurns() {
  let soon: (() => void)[] = []
  const frames: number[][] = []
  const clock = { soon: (fn: () => void) => soon.push(fn) } as unknown as Clock
  const batch = new DispatchBatch(clock, (items) => frames.push(items.map(([seq]) => seq)))
  let seq = 0
  return {
    batch,
    frames,
    add(count: number, bytes = 10): void {
      for (let i = 0; i < count; i++) batch.add(item(++seq, bytes))
    },
    turn(): void {
      const due = soon
      soon = []
      for (const fn of due) fn()
    },
  }
}

const item = (seq: number, bytes: number): DispatchTuple => [seq, 1, 0, 0, new Uint8Array(bytes)]

t.test('what comes in one turn leaves in one frame, at its end', async (t) => {
  const { add, turn, frames } = batchWithTurns()
  add(3)
  t.same(frames, [])
  turn()
  t.same(frames, [[1, 2, 3]])
})

t.test('a lone statement never waits, nor does the one behind it', async (t) => {
  const { add, turn, frames } = batchWithTurns()
  add(1)
  turn()
  add(1)
  turn()
  t.same(frames, [[1], [2]])
})

t.test('behind others that are under way statements wait until they are as many', async (t) => {
  const { add, turn, frames, batch } = batchWithTurns()
  add(4)
  turn()
  add(2)
  turn()
  t.equal(frames.length, 1, 'two behind four wait')
  add(2)
  turn()
  t.same(frames[1], [5, 6, 7, 8], 'four behind four leave')
  add(1)
  turn()
  batch.answered(4)
  t.equal(frames.length, 2, 'one behind four still waits')
  batch.answered(3)
  t.same(frames[2], [9], 'and leaves when one is left, without a turn more')
})

t.test('whatever is answered in the end lets everything out: nothing waits for a newcomer', async (t) => {
  const { add, turn, frames, batch } = batchWithTurns()
  for (const size of [7, 3, 1, 1, 5, 2]) {
    add(size)
    turn()
  }
  const left = (): number => frames.flat().length
  let answered = 0
  while (answered < 19) {
    t.ok(left() > answered, 'something is under way as long as something waits')
    batch.answered(1)
    answered++
  }
  t.same(
    frames.flat(),
    Array.from({ length: 19 }, (_, i) => i + 1),
    'all, in their order',
  )
})

t.test('flush lets everything out at once, for a cancel that must not overtake its statement', async (t) => {
  const { add, turn, frames, batch } = batchWithTurns()
  add(4)
  turn()
  add(1)
  batch.flush()
  t.same(frames[1], [5])
  turn()
  t.equal(frames.length, 2, 'and nothing leaves twice')
})

t.test('many bytes wait for nothing, and no frame grows over its limit', async (t) => {
  const { add, turn, frames } = batchWithTurns()
  add(4)
  turn()
  add(1, 64 * 1024)
  turn()
  t.same(frames[1], [5])
  add(3, 3 * 1024 * 1024)
  turn()
  t.same(frames.slice(2), [[6], [7], [8]])
})
