import t from 'tap'
import { TurnEnd } from '../src/real/turn-end.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('work that work puts off runs in the same turn, behind the promises that are ready', async (t) => {
  const end = new TurnEnd()
  const order: string[] = []
  end.add(() => {
    order.push('first')
    end.add(() => order.push('put off'))
    void Promise.resolve().then(() => order.push('promise'))
  })
  end.add(() => order.push('second'))
  await turn()
  t.same(order, ['first', 'second', 'promise', 'put off'])
})

t.test('work that puts itself off for ever lets others have their turn', async (t) => {
  const end = new TurnEnd()
  let runs = 0
  let stopped = false
  const again = (): void => {
    runs++
    if (!stopped) end.add(again)
  }
  end.add(again)
  await turn()
  await turn()
  t.ok(runs > 1 && runs < 20, `${runs} rounds in two turns`)
  stopped = true
  await turn()
  await turn()
  const after = runs
  await turn()
  t.equal(runs, after)
})

t.test('work that throws does not take the rest with it', async (t) => {
  const end = new TurnEnd()
  const ran: string[] = []
  const real = globalThis.setImmediate
  let run: () => void = () => undefined
  // The turn is ended by hand, so that the error can be caught.
  globalThis.setImmediate = ((fn: () => void) => (run = fn)) as unknown as typeof setImmediate
  try {
    end.add(() => {
      throw new Error('on purpose')
    })
    end.add(() => ran.push('the next'))
  } finally {
    globalThis.setImmediate = real
  }
  t.throws(run, { message: 'on purpose' })
  await turn()
  t.same(ran, ['the next'])
})
