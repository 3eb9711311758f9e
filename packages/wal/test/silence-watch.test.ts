import t from 'tap'
import type { Clock } from '@mirabelle/runtime'
import { SilenceWatch } from '../src/protocol/silence-watch.ts'

/** A watch with a limit of 1,000 ms on a clock that `go` moves on. */
function watched() {
  let now = 0
  let timers: { at: number; fn: () => void }[] = []
  const clock: Clock = {
    now: () => now,
    monotonic: () => now,
    setTimer(ms, fn) {
      const timer = { at: now + ms, fn }
      timers.push(timer)
      return { clear: () => void (timers = timers.filter((one) => one !== timer)) }
    },
    soon: (fn) => fn(),
  }
  /** Timers that are due run at `lateTo`, when that is given: the process was held up. */
  const go = (ms: number, lateTo?: number): void => {
    const until = now + ms
    for (;;) {
      const due = timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      timers = timers.filter((one) => one !== due)
      now = lateTo ?? Math.max(now, due.at)
      due.fn()
      if (lateTo !== undefined) return
    }
    now = until
  }
  const seen: string[] = []
  const may = { ask: true }
  const watch = new SilenceWatch({
    clock,
    timeoutMs: () => 1_000,
    askAfter: 1 / 2,
    ask: () => {
      if (may.ask) seen.push(`asked at ${now}`)
      return may.ask
    },
    onSilent: (silentMs) => seen.push(`silent for ${silentMs}`),
  })
  return { watch, go, seen, may, timers: () => timers.length }
}

t.test('a peer that says nothing is asked once and given up at the limit', (t) => {
  const { go, seen, timers } = watched()
  go(5_000)
  t.same(seen, ['asked at 500', 'silent for 1000'])
  t.equal(timers(), 0)
  t.end()
})

t.test('a peer that answers is asked twice a limit and kept', (t) => {
  const { watch, go, seen } = watched()
  for (let ms = 0; ms < 10_000; ms += 10) {
    go(10)
    if (ms % 500 === 490) watch.heard()
  }
  t.same(seen.slice(0, 2), ['asked at 500', 'asked at 1000'])
  t.equal(seen.length, 20)
  t.end()
})

t.test('a peer that talks by itself is not asked', (t) => {
  const { watch, go, seen } = watched()
  for (let ms = 0; ms < 5_000; ms += 100) {
    go(100)
    watch.heard()
  }
  t.same(seen, [])
  t.end()
})

t.test('who was held up asks and listens before it gives its peer up', (t) => {
  const { watch, go, seen } = watched()
  go(500, 60_000)
  t.same(seen, ['asked at 60000'], 'the look came a minute late')
  go(200)
  watch.heard()
  go(400)
  t.same(seen, ['asked at 60000'])
  t.end()
})

t.test('a peer that cannot be asked yet is looked at again', (t) => {
  const { go, seen, may } = watched()
  may.ask = false
  go(700)
  t.same(seen, [])
  may.ask = true
  go(100)
  t.same(seen, ['asked at 750'])
  t.end()
})

t.test('nothing is told after the end', (t) => {
  const { watch, go, seen } = watched()
  watch.stop()
  watch.heard()
  go(5_000)
  t.same(seen, [])
  t.end()
})
