/** What every clock port promises. Run for the real side here and for the simulated one in testkit. */
import type { Test } from 'tap'
import type { Clock } from '@mirabelle/runtime'

export interface ClockWorld {
  readonly clock: Clock
  /** Lets time pass until the promise settles. */
  until<T>(promise: Promise<T>): Promise<T>
}

/** Registers the suite. */
export function clockSuite(t: Test, make: () => ClockWorld): void {
  void t.test('a timer fires once, after its time, never within setTimer()', async (t) => {
    const { clock, until } = make()
    let fired = 0
    const start = clock.monotonic()
    await until(
      new Promise<void>((resolve) => {
        clock.setTimer(20, () => {
          fired++
          resolve()
        })
        t.equal(fired, 0)
      }),
    )
    t.ok(clock.monotonic() - start >= 19, 'not before its time')
    await until(new Promise<void>((resolve) => void clock.setTimer(60, resolve)))
    t.equal(fired, 1)
  })

  void t.test('a timer that was cleared never fires; clearing twice or late is harmless', async (t) => {
    const { clock, until } = make()
    let fired = 0
    const cleared = clock.setTimer(5, () => fired++)
    cleared.clear()
    cleared.clear()
    const late = await until(
      new Promise<{ clear(): void }>((resolve) => {
        const timer = clock.setTimer(25, () => resolve(timer))
      }),
    )
    late.clear()
    t.equal(fired, 0)
  })

  void t.test('timers fire in the order of their times; equal ones in the order they were set', async (t) => {
    const { clock, until } = make()
    const order: string[] = []
    await until(
      new Promise<void>((resolve) => {
        clock.setTimer(40, () => order.push('late'))
        clock.setTimer(10, () => order.push('first'))
        clock.setTimer(10, () => order.push('second'))
        clock.setTimer(80, resolve)
      }),
    )
    t.same(order, ['first', 'second', 'late'])
  })

  void t.test('soon() runs after the promises that are ready, and in order', async (t) => {
    const { clock, until } = make()
    const order: string[] = []
    await until(
      new Promise<void>((resolve) => {
        clock.soon(() => order.push('soon 1'))
        clock.soon(() => {
          order.push('soon 2')
          resolve()
        })
        void Promise.resolve().then(() => order.push('promise'))
        order.push('now')
      }),
    )
    t.same(order, ['now', 'promise', 'soon 1', 'soon 2'])
  })

  void t.test('the monotonic clock never goes back, and the wall clock counts from 1970', async (t) => {
    const { clock, until } = make()
    const before = clock.monotonic()
    await until(new Promise<void>((resolve) => void clock.setTimer(5, resolve)))
    t.ok(clock.monotonic() > before)
    t.ok(clock.now() > Date.UTC(2000, 0), 'a date of this century')
  })
}
