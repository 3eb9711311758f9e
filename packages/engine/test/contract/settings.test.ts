/** Requests that count on settings which others were to bring about: they run under these, or not at all. */
import t, { type Test } from 'tap'
import type { EngineRequest, EngineResult } from '@mirabelle/engine'
import { ENDLESS, newPrimary, parse, query, run } from '../support/kit.ts'

const WHO = 'SELECT current_user'
const LACKING = 'MB001'

async function withRoles(t: Test) {
  const { engine } = await newPrimary(t)
  await run(engine, 'CREATE ROLE alice; CREATE ROLE bob')
  const send = (sql: string, over: Partial<EngineRequest> = {}): Promise<EngineResult> =>
    engine.submit(query(sql, over))
  return {
    engine,
    send,
    /** Sets the role under a number, in front of `sql`. */
    become: (role: string, settings: number, sql = WHO, over: Partial<EngineRequest> = {}) => {
      const { bytes } = query(`SET SESSION AUTHORIZATION ${role}`)
      const whole = Buffer.concat([bytes, query(sql).bytes])
      return send(sql, { bytes: whole, syncs: 2, preambleSyncs: 1, settings, setsSettings: true, ...over })
    },
    /** Who runs it, or the error. */
    answer: async (result: Promise<EngineResult>) => {
      const { rows, errors } = parse((await result).output)
      return errors[0] ?? rows[0]?.[0]
    },
  }
}

t.test('it runs under the settings that it counts on, and on no others', async (t) => {
  const { send, become, answer } = await withRoles(t)
  t.equal(await answer(send(WHO, { settings: 0 })), 'postgres', 'those of a fresh backend')
  const ahead = [
    become('alice', 1),
    send(WHO, { settings: 1 }),
    become('bob', 2),
    send(WHO, { settings: 1 }),
    send(WHO, { settings: 2 }),
    send(WHO),
  ]
  t.same(await Promise.all(ahead.map(answer)), ['alice', 'alice', 'bob', LACKING, 'bob', 'bob'])
  t.equal((await send(WHO, { settings: 0 })).txStatus, 'I')
})

t.test('settings that were cancelled in the queue, or have failed, are not there', async (t) => {
  const { engine, send, become, answer } = await withRoles(t)
  const bob = become('bob', 1)
  const cancelled = query(WHO, { settings: 2, setsSettings: true })
  const never = t.rejects(engine.submit(cancelled), { code: 'ENGINE_CANCELLED' })
  const behind = send(WHO, { settings: 2 })
  engine.cancel(cancelled.tag, 0)
  await never
  t.equal(await answer(bob), 'bob')
  t.equal(await answer(behind), LACKING)
  const failed = [become('nobody', 3), send(WHO, { settings: 3 }), send(WHO, { settings: 1 })]
  t.same(await Promise.all(failed.map(answer)), ['22023', LACKING, LACKING])
})

t.test('settings of a backend that was started anew are those of a fresh one', async (t) => {
  const { engine, send, become, answer } = await withRoles(t)
  let tell: () => void = () => undefined
  const spins = new Promise<void>((resolve) => {
    tell = resolve
  })
  const tag = 2 ** 45
  const spun = t.rejects(become('alice', 1, ENDLESS, { tag, onOutput: () => tell() }), {
    code: 'ENGINE_CANCELLED',
  })
  const behind = [send(WHO, { settings: 1 }), send(WHO, { settings: 0 }), become('alice', 2)]
  await spins
  engine.cancel(tag, 100)
  await spun
  t.same(await Promise.all(behind.map(answer)), [LACKING, 'postgres', 'alice'])
})

t.test('settings that were set in a transaction are not counted on once it has ended', async (t) => {
  const { send, become, answer } = await withRoles(t)
  for (const [end, who] of [
    ['ROLLBACK', 'alice'],
    ['COMMIT', 'bob'],
  ] as const) {
    const ahead = [
      become('alice', 1),
      send('BEGIN'),
      become('bob', 2, WHO, { inTransaction: true }),
      send(WHO, { settings: 2, inTransaction: true }),
      send(end, { inTransaction: true }),
      send(WHO, { settings: 2 }),
      send(WHO),
    ]
    const answers = await Promise.all(ahead.map(answer))
    t.same(answers, ['alice', undefined, 'bob', 'bob', undefined, LACKING, who], end)
  }
})
