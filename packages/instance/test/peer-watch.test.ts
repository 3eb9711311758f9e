import t from 'tap'
import { MirabelleError, type Peer } from '@mirabelle/messages'
import { silentLogger, type Clock, type Hello, type Network } from '@mirabelle/runtime'
import { PeerWatch } from '../src/primary/peer-watch.ts'

/** A watch whose peer is never there; `due` is what its timer would do. */
function watched(peer: Peer | null, connected: boolean) {
  const state = { peer, connected, asked: 0, due: [] as (() => void)[] }
  const clock: Clock = {
    now: () => 0,
    monotonic: () => 0,
    setTimer: (_ms, fn) => {
      state.due.push(fn)
      return { clear: () => void (state.due = state.due.filter((one) => one !== fn)) }
    },
    soon: (fn) => fn(),
  }
  const network = {
    connect: () => {
      state.asked++
      return Promise.reject(new MirabelleError('connection.refused', 'nobody is there'))
    },
  } as unknown as Network
  const watch = new PeerWatch({
    clock,
    network,
    log: silentLogger,
    hello: () => ({ dbid: 2, content: 0 }) as unknown as Hello,
    peer: () => state.peer,
    timeline: () => 1,
    mirrorConnected: () => state.connected,
    onReplaced: () => undefined,
  })
  const fire = async (): Promise<void> => {
    for (const fn of state.due.splice(0)) fn()
    await new Promise((resolve) => setImmediate(resolve))
  }
  return { watch, state, fire }
}

const peer = { dbid: 4, endpoint: { addresses: ['here'], port: 1 } }

t.test('it asks as long as no stream of the mirror is there, and has no timer otherwise', async (t) => {
  const { watch, state, fire } = watched(peer, true)
  t.equal(state.due.length, 0, 'the mirror is there')
  state.connected = false
  watch.changed()
  watch.changed()
  t.equal(state.due.length, 1, 'one timer, however often it is told')
  await fire()
  await fire()
  t.equal(state.asked, 2)
  state.connected = true
  await fire()
  t.equal(state.asked, 2)
  t.equal(state.due.length, 0)
  state.connected = false
  watch.changed()
  await fire()
  t.equal(state.asked, 3, 'gone once more')
  watch.stop()
  t.equal(state.due.length, 0)
})

t.test('without a peer nobody is asked; one that comes later is', async (t) => {
  const { watch, state, fire } = watched(null, false)
  t.equal(state.due.length, 0)
  state.peer = peer
  watch.changed()
  await fire()
  t.equal(state.asked, 1)
  watch.stop()
  watch.changed()
  t.equal(state.due.length, 0, 'not after the end')
})
