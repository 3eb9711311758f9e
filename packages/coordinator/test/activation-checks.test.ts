/** How many segments a standby hears before it takes over, and how long it waits for them. */
import t from 'tap'
import {
  TOPOLOGY_SETTING,
  type Assignment,
  type Endpoint,
  type MessageOf,
  type MirabelleError,
} from '@mirabelle/messages'
import { delay, type Hello, type Network } from '@mirabelle/runtime'
import { refuseWhenStale } from '../src/standby/activation-checks.ts'
import { FakeNetwork } from './support/fake-network.ts'
import { fakePorts } from './support/fake-ports.ts'
import { ManualClock } from './support/manual-clock.ts'

const INSTANCES = 6 // of which 4 must promise

/** The instances at these ports answer after so long, ms; the others never do, as on a host that is lost. */
function ask(answerMs: Readonly<Record<number, number>>, stale: readonly number[] = []) {
  const clock = new ManualClock()
  const fake = new FakeNetwork(clock)
  for (let port = 1; port <= INSTANCES; port += 1)
    fake.answers.set(port, () =>
      port in answerMs
        ? ({ type: 'epoch.promised', standbyStale: stale.includes(port) } as MessageOf<'epoch.promised'>)
        : undefined,
    )
  const network = {
    connect: async (endpoint: Endpoint, hello: Hello) => {
      await delay(clock, answerMs[endpoint.port] ?? 0)
      return fake.connect(endpoint, hello)
    },
  } as unknown as Network
  const known = Array.from({ length: INSTANCES }, (_, i) => ({
    dbid: i + 2,
    content: i % 3,
    endpoint: { addresses: ['10.0.0.1'], port: i + 1 },
  }))
  const assignment = {
    dbid: 8,
    settings: { [TOPOLOGY_SETTING]: JSON.stringify(known) },
  } as unknown as Assignment
  let outcome: number | MirabelleError | undefined
  void refuseWhenStale(fakePorts(clock, { network }), {} as Hello, assignment, 3).then(
    (epoch) => (outcome = epoch),
    (error: MirabelleError) => (outcome = error),
  )
  return { clock, outcome: () => outcome }
}

t.test('with a host lost, those that answer late are waited for when they are needed', async (t) => {
  const { clock, outcome } = ask({ 1: 1, 2: 5, 3: 10, 4: 3_000 })
  await clock.advance(2_990)
  t.equal(outcome(), undefined, 'three of four')
  await clock.advance(20)
  t.equal(outcome(), 3)
})

t.test('enough that answer at once are enough', async (t) => {
  const { clock, outcome } = ask({ 1: 1, 2: 5, 3: 10, 4: 20 })
  await clock.advance(690)
  t.equal(outcome(), undefined, 'others may have something to say')
  await clock.advance(20)
  t.equal(outcome(), 3)
  const all = ask({ 1: 1, 2: 5, 3: 10, 4: 20, 5: 30, 6: 40 })
  await all.clock.advance(50)
  t.equal(all.outcome(), 3, 'when all have answered nothing is waited for')
})

t.test('one that knows that the standby is behind is heard', async (t) => {
  const { clock, outcome } = ask({ 1: 1, 2: 5, 3: 10, 4: 20, 5: 600 }, [5])
  await clock.advance(710)
  t.match(outcome(), { code: 'standby.stale' })
})

t.test('too few are refused in the end', async (t) => {
  const { clock, outcome } = ask({ 1: 1, 2: 5, 3: 10 })
  await clock.advance(4_990)
  t.equal(outcome(), undefined)
  await clock.advance(20)
  t.match(outcome(), { code: 'not.ready', message: /only 3 of 6 segment instances answer, 4 are needed/ })
})
