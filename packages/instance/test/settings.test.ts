/** What an instance does with the settings that it is sent: the newest word of the catalog counts, whoever brings it and whenever. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { stamped, type MessageOf, type SettingTexts } from '@mirabelle/messages'
import { makeOne } from './support/one-instance.ts'

const configure = (settings: SettingTexts, epoch = 1, dbid = 2): MessageOf<'instance.configure'> => ({
  type: 'instance.configure',
  dbid,
  content: 0,
  epoch,
  settings: { ...settings },
})
const interval = (value: string, epoch: number, version: number): SettingTexts =>
  stamped({ wal_sender_timeout: value }, epoch, version)

t.test('settings are in force and on disk when the instance has answered', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  await one.ask(configure(interval('9s', 1, 2)))
  t.equal(one.instance.settings().wal_sender_timeout, 9_000)
  const text = await readFile(join(one.base, 'd', 'state', 'assignment.json'), 'utf8')
  t.match(JSON.parse(text), { settings: { wal_sender_timeout: '9s' }, role: 'p' })
})

t.test('a message that was delayed takes nothing back, and the same once more writes nothing', async (t) => {
  const one = await makeOne(t.teardown)
  await one.instance.start()
  await one.ask(configure(interval('9s', 1, 10)))
  const written = one.journal.length
  await one.ask(configure(interval('7s', 1, 9)))
  await one.ask(configure(interval('9s', 1, 10)))
  t.equal(one.instance.settings().wal_sender_timeout, 9_000)
  t.equal(one.journal.length, written)
  await one.ask(configure(interval('3s', 2, 1), 2))
  t.equal(one.instance.settings().wal_sender_timeout, 3_000, 'the word of an activated standby is newer')
  await t.rejects(one.ask(configure(interval('1s', 1, 99))), { code: 'epoch.stale' })
  await t.rejects(one.ask(configure(interval('1s', 2, 99), 2, 5)), { code: 'wrong.content' })
  t.equal(one.instance.settings().wal_sender_timeout, 3_000)
})

t.test('who starts an instance without knowing the catalog does not take its settings back', async (t) => {
  const first = await makeOne(t.teardown)
  await first.instance.start()
  await first.ask(configure(interval('9s', 1, 2)))
  await first.instance.stop('fast')
  const plain = { wal_sender_timeout: '2s', 'mirabelle.topology': 'of this start' }
  const again = await makeOne(t.teardown, { base: first.base, assignment: { settings: plain } })
  await again.instance.start()
  t.equal(again.instance.settings().wal_sender_timeout, 9_000)
  t.equal(again.instance.assignment.settings['mirabelle.topology'], 'of this start')
  await again.instance.stop('fast')
  const known = { settings: { ...interval('4s', 1, 3) } }
  const last = await makeOne(t.teardown, { base: first.base, assignment: known })
  await last.instance.start()
  t.equal(last.instance.settings().wal_sender_timeout, 4_000, 'a start by a coordinator brings the newest')
})

t.test(
  'an assignment with older settings changes the peer only, and both changes at once are kept',
  async (t) => {
    const one = await makeOne(t.teardown)
    await one.instance.start()
    const assignment = { ...one.instance.assignment, peer: null }
    await Promise.all([
      one.ask({ type: 'instance.assign', assignment }),
      one.ask(configure(interval('9s', 1, 2))),
    ])
    t.equal(one.instance.assignment.peer, null)
    t.equal(one.instance.settings().wal_sender_timeout, 9_000)
    const old = { ...assignment, settings: {}, peer: { dbid: 7, endpoint: { addresses: ['a'], port: 1 } } }
    await one.ask({ type: 'instance.assign', assignment: old })
    t.equal(one.instance.settings().wal_sender_timeout, 9_000)
    t.match(one.instance.assignment.peer, { dbid: 7 })
  },
)

t.test(
  'a value that this version does not take leaves the default instead of ending the instance',
  async (t) => {
    const one = await makeOne(t.teardown, { assignment: { settings: { wal_sender_timeout: 'soon' } } })
    await one.instance.start()
    t.equal(one.instance.settings().wal_sender_timeout, 5_000)
  },
)

t.test('settings that cannot be written are not acknowledged and not in force', async (t) => {
  let full = false
  const one = await makeOne(t.teardown, {
    disk: (real) => ({
      ...real,
      writeFileDurable: (path, text) =>
        full ? Promise.reject(new Error('disk full')) : real.writeFileDurable(path, text),
    }),
  })
  await one.instance.start()
  full = true
  await t.rejects(one.ask(configure(interval('9s', 1, 2))), { message: /disk full/ })
  t.equal(one.instance.settings().wal_sender_timeout, 5_000)
  full = false
  await one.ask(configure(interval('9s', 1, 2)))
  t.equal(one.instance.settings().wal_sender_timeout, 9_000)
})
