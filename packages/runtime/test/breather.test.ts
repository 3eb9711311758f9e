import t from 'tap'
import { Breather, realClock } from '../src/index.ts'

t.test('work in one piece lets timers in when it breathes, and only then', async (t) => {
  const breather = new Breather(realClock)
  let beats = 0
  const timer = setInterval(() => beats++, 1)
  t.teardown(() => clearInterval(timer))
  const until = performance.now() + 100
  let breaths = 0
  while (performance.now() < until) {
    const due = breather.due()
    if (due === undefined) continue
    breaths++
    await due
  }
  t.ok(breaths >= 2 && breaths <= 12, `${breaths} breaths in 100 ms`)
  t.ok(beats >= 1, `${beats} beats of a timer in between`)
})
