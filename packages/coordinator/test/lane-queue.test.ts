import t from 'tap'
import fc from 'fast-check'
import { breakCycles, findCycle } from '../src/lanes/deadlock.ts'
import { LaneQueue, type LaneTicket, type LaneUser } from '../src/lanes/lane-queue.ts'

const user = (age: number, requeueable = false): LaneUser & { victim: boolean } => ({
  age,
  requeueable,
  victim: false,
  deadlockVictim() {
    this.victim = true
  },
})

function openQueue() {
  const queue = new LaneQueue(0)
  queue.open()
  const order: string[] = []
  const failed: string[] = []
  const enter = (name: string, hold: boolean, who: LaneUser = user(1)) =>
    queue.enter(
      who,
      hold,
      () => order.push(name),
      (error) => failed.push(`${name}: ${error.message}`),
    )
  return { queue, order, failed, enter }
}

t.test('users are served in the order in which they came', async (t) => {
  const { queue, order, enter } = openQueue()
  const a = enter('a', true)
  enter('b', false)
  enter('c', false)
  const d = enter('d', true)
  enter('e', false)
  t.same(order, ['a'])
  t.equal(a.state, 'holding')
  queue.leave(a)
  t.same(order, ['a', 'b', 'c', 'd'])
  t.equal(d.state, 'holding')
  t.notOk(queue.free)
  queue.leave(d)
  t.same(order, ['a', 'b', 'c', 'd', 'e'])
  t.ok(queue.free)
})

t.test('who leaves while waiting is passed over, and leaving twice does nothing', async (t) => {
  const { queue, order, enter } = openQueue()
  const a = enter('a', true)
  const b = enter('b', true)
  enter('c', false)
  queue.leave(b)
  queue.leave(b)
  queue.leave(a)
  queue.leave(a)
  t.same(order, ['a', 'c'])
  t.equal(b.state, 'gone')
})

t.test('a closed queue lets nobody in, keeps its holder, and goes on in order when it opens', async (t) => {
  const { queue, order, enter } = openQueue()
  const a = enter('a', true)
  queue.close()
  enter('b', false)
  queue.leave(a)
  t.same(order, ['a'])
  queue.open()
  t.same(order, ['a', 'b'])
})

t.test('failWaiting tells all who wait and not the holder', async (t) => {
  const { queue, order, failed, enter } = openQueue()
  const a = enter('a', true)
  enter('b', false)
  enter('c', true)
  queue.failWaiting(new Error('no'))
  t.same(failed, ['b: no', 'c: no'])
  t.equal(a.state, 'holding')
  queue.leave(a)
  t.same(order, ['a'])
})

t.test('requeue goes to the end, also for the holder', async (t) => {
  const { queue, order, enter } = openQueue()
  const a = enter('a', true)
  enter('b', false)
  const c = enter('c', true)
  queue.requeue(a)
  t.same(order, ['a', 'b', 'c'])
  t.equal(a.state, 'waiting')
  queue.leave(c)
  t.same(order, ['a', 'b', 'c', 'a'])
  t.equal(a.state, 'holding')
})

t.test('enterFirst overtakes who waits but not the holder', async (t) => {
  const { queue, order, enter } = openQueue()
  const a = enter('a', true)
  enter('b', false)
  const first = queue.enterFirst(
    user(0),
    () => order.push('first'),
    () => {},
  )
  queue.leave(a)
  t.same(order, ['a', 'first'])
  queue.leave(first)
  t.same(order, ['a', 'first', 'b'])
})

t.test('a full queue says so', async (t) => {
  const queue = new LaneQueue(0, 2)
  const none = () => {}
  queue.enter(user(1), false, none, none)
  t.notOk(queue.full)
  queue.enter(user(1), false, none, none)
  t.ok(queue.full)
})

/** Users that each hold lane i and then want lane i + 1. */
function ring(size: number, requeueable: readonly boolean[]) {
  const lanes = Array.from({ length: size }, (_, i) => {
    const queue = new LaneQueue(i)
    queue.open()
    return queue
  })
  const none = () => {}
  const tickets: LaneTicket[][] = []
  const users = lanes.map((lane, i) => {
    const one = user(i + 1, requeueable[i] ?? false)
    tickets[i] = [lane.enter(one, true, none, none)]
    const leave = one.deadlockVictim.bind(one)
    one.deadlockVictim = () => {
      leave()
      for (const ticket of tickets[i] as LaneTicket[]) ticket.queue.leave(ticket)
    }
    return one
  })
  const close = () => {
    let broken = 0
    users.forEach((one, i) => {
      const next = lanes[(i + 1) % size] as LaneQueue
      tickets[i]?.push(next.enter(one, true, none, none))
      broken += breakCycles(lanes, one)
    })
    return broken
  }
  return { lanes, users, tickets, close }
}

for (const size of [2, 3]) {
  t.test(`in a ring of ${size} transactions the youngest gives way`, async (t) => {
    const { lanes, users, close } = ring(size, [])
    t.equal(close(), 1)
    t.same(
      users.map((one) => one.victim),
      users.map((_, i) => i === size - 1),
    )
    for (const one of users) t.equal(findCycle(lanes, one), undefined)
  })

  t.test(`in a ring of ${size} one that has run nothing goes to the end and nobody is aborted`, async (t) => {
    const { lanes, users, tickets, close } = ring(size, [true])
    t.equal(close(), 1)
    t.notOk(users.some((one) => one.victim))
    t.same(
      tickets[0]?.map((ticket) => ticket.state),
      ['waiting', 'waiting'],
    )
    for (const one of users) t.equal(findCycle(lanes, one), undefined)
  })
}

t.test('a victim that does not leave is a broken promise, not an endless loop', async (t) => {
  const lanes = [new LaneQueue(0), new LaneQueue(1)] as const
  const none = () => {}
  const stubborn = user(9)
  const other = user(1)
  for (const lane of lanes) lane.open()
  lanes[0].enter(stubborn, true, none, none)
  lanes[1].enter(other, true, none, none)
  lanes[1].enter(stubborn, true, none, none)
  lanes[0].enter(other, true, none, none)
  t.throws(() => breakCycles(lanes, other), /did not leave/)
})

t.test('whatever users do, no cycle stays and all of them get their lanes in the end', async () => {
  const action = fc.record({
    user: fc.nat({ max: 5 }),
    lanes: fc.uniqueArray(fc.nat({ max: 3 }), { minLength: 1, maxLength: 3 }),
    finish: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(action, { maxLength: 60 }), fc.array(fc.boolean()), (actions, fresh) => {
      const lanes = Array.from({ length: 4 }, (_, i) => new LaneQueue(i))
      for (const lane of lanes) lane.open()
      const tickets = new Map<LaneUser, LaneTicket[]>()
      const users = Array.from({ length: 6 }, (_, i) => {
        const one = user(i, fresh[i] ?? false)
        tickets.set(one, [])
        one.deadlockVictim = () => leaveAll(one)
        return one
      })
      const leaveAll = (one: LaneUser) => {
        const mine = tickets.get(one) as LaneTicket[]
        tickets.set(one, [])
        for (const ticket of mine) ticket.queue.leave(ticket)
      }
      const waits = (one: LaneUser) =>
        (tickets.get(one) as LaneTicket[]).some((ticket) => ticket.state === 'waiting')
      for (const { user: index, lanes: wanted, finish } of actions) {
        const one = users[index] as LaneUser
        if (finish && !waits(one)) {
          leaveAll(one)
          continue
        }
        if (waits(one)) continue // it cannot ask for more while it waits
        for (const content of wanted) {
          const lane = lanes[content] as LaneQueue
          const mine = tickets.get(one) as LaneTicket[]
          if (mine.some((ticket) => ticket.queue === lane)) continue
          mine.push(
            lane.enter(
              one,
              true,
              () => {},
              () => {},
            ),
          )
        }
        breakCycles(lanes, one)
        for (const each of users)
          if (findCycle(lanes, each) !== undefined) throw new Error(`user ${each.age} is in a cycle`)
      }
      // Without cycles somebody can always finish.
      for (let left = users.filter((one) => tickets.get(one)?.length !== 0); left.length > 0;) {
        const ready = left.find((one) => !waits(one))
        if (ready === undefined) throw new Error('everyone waits')
        leaveAll(ready)
        left = left.filter((one) => one !== ready)
      }
      return lanes.every((lane) => lane.free)
    }),
    { numRuns: 500 },
  )
})
