import t from 'tap'
import { SilenceWatch } from '../src/protocol/silence-watch.ts'
import { handClock } from '../../runtime/test/support/hand-clock.ts'

/** A watch with a limit of 1,000 ms on a clock of the test. */
function watched() {
  const { clock, advance, jump, pending } = handClock()
  const seen: string[] = []
  const may = { ask: true }
  const watch = new SilenceWatch({
    clock,
    timeoutMs: () => 1_000,
    askAfter: 1 / 2,
    ask: () => {
      if (may.ask) seen.push(`asked at ${clock.now()}`)
      return may.ask
    },
    onSilent: (silentMs) => seen.push(`silent for ${silentMs}`),
  })
  return { watch, advance, jump, seen, may, pending }
}

t.test('a peer that says nothing is asked once and given up at the limit', (t) => {
  const { advance, seen, pending } = watched()
  advance(5_000)
  t.same(seen, ['asked at 500', 'silent for 1000'])
  t.equal(pending(), 0)
  t.end()
})

t.test('a peer that answers is asked twice a limit and kept', (t) => {
  const { watch, advance, seen } = watched()
  for (let ms = 0; ms < 10_000; ms += 10) {
    advance(10)
    if (ms % 500 === 490) watch.heard()
  }
  t.same(seen.slice(0, 2), ['asked at 500', 'asked at 1000'])
  t.equal(seen.length, 20)
  t.end()
})

t.test('a peer that talks by itself is not asked', (t) => {
  const { watch, advance, seen } = watched()
  for (let ms = 0; ms < 5_000; ms += 100) {
    advance(100)
    watch.heard()
  }
  t.same(seen, [])
  t.end()
})

t.test('who was held up asks and listens before it gives its peer up', (t) => {
  const { watch, advance, jump, seen } = watched()
  jump(60_000)
  t.same(seen, ['asked at 60000'], 'the look came a minute late')
  advance(200)
  watch.heard()
  advance(400)
  t.same(seen, ['asked at 60000'])
  t.end()
})

t.test('a peer that cannot be asked yet is looked at again', (t) => {
  const { advance, seen, may } = watched()
  may.ask = false
  advance(700)
  t.same(seen, [])
  may.ask = true
  advance(100)
  t.same(seen, ['asked at 750'])
  t.end()
})

t.test('nothing is told after the end', (t) => {
  const { watch, advance, seen } = watched()
  watch.stop()
  watch.heard()
  advance(5_000)
  t.same(seen, [])
  t.end()
})
