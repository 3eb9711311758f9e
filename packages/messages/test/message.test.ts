import t from 'tap'
import { isMessageType, messageCatalog, whatIsWrong } from '../src/index.ts'
import type { Message } from '../src/index.ts'
import type { Field } from '../src/index.ts'
import { exampleOf } from './example-of.ts'

interface Definition {
  readonly doc: string
  readonly reply: string | null
  readonly fields: Readonly<Record<string, Field<unknown>>>
}
const catalog = Object.entries(messageCatalog as unknown as Record<string, Definition>)

const probe: Message = { type: 'fts.probe', dbid: 2, content: 0, epoch: 1, mirror: 3 }

t.test('every message has a sentence, and its reply is a message without a reply of its own', async (t) => {
  for (const [type, { doc, reply, fields }] of catalog) {
    t.match(type, /^[a-z]+(\.[a-z][A-Za-z]*)?$/, `${type} is named subject.verb`)
    t.match(doc, /[.?]$/, `${type} is described in sentences`)
    for (const [name, field] of Object.entries(fields))
      t.ok(field.doc.length > 0, `${type}.${name} is described`)
    if (reply === null) continue
    t.ok(isMessageType(reply), `${type} is answered with ${reply}`)
    t.equal((messageCatalog as unknown as Record<string, Definition>)[reply]?.reply, null, `${reply} ends it`)
  }
})

t.test('no field uses a name that the envelope needs', async (t) => {
  for (const [type, { fields }] of catalog)
    for (const name of ['type', 'rid', 're']) t.notOk(Object.hasOwn(fields, name), `${type}.${name}`)
})

t.test('an example of every message passes, and breaks when any of its fields is missing', async (t) => {
  for (const [type, { fields }] of catalog) {
    const message = {
      type,
      ...Object.fromEntries(Object.entries(fields).map(([name, f]) => [name, exampleOf(f)])),
    }
    t.equal(whatIsWrong(message), undefined, type)
    for (const name of Object.keys(fields)) {
      const { [name]: _missing, ...rest } = message as Record<string, unknown>
      t.match(whatIsWrong(rest), new RegExp(`^${type}: field "${name}" must be `), `${type} without ${name}`)
    }
  }
})

t.test('what is not a message is refused with a reason that shows none of its content', async (t) => {
  const secret = 'a secret that must not reach a log'
  const bad: [unknown, RegExp][] = [
    [undefined, /must be an object/],
    [null, /must be an object/],
    [[probe], /must be an object/],
    ['fts.probe', /must be an object/],
    [{}, /type of a message must be text, not undefined/],
    [{ type: 5 }, /type of a message must be text, not number/],
    [{ type: { toString: 'x', secret } }, /type of a message must be text, not object/],
    [{ type: [Object.create(null)] }, /type of a message must be text, not object/],
    [{ type: 'toString' }, /unknown message type/],
    [{ type: '__proto__' }, /unknown message type/],
    [{ ...probe, dbid: secret }, /^fts\.probe: field "dbid" must be dbid$/],
    [{ ...probe, dbid: 32_768 }, /"dbid"/],
    [{ ...probe, dbid: -1 }, /"dbid"/],
    [{ ...probe, content: -2 }, /"content"/],
    [{ ...probe, epoch: 1.5 }, /"epoch"/],
    [{ ...probe, epoch: Number.NaN }, /"epoch"/],
    [{ ...probe, epoch: 2 ** 53 }, /"epoch"/],
    [{ ...probe, epoch: 1n }, /"epoch"/],
    [{ type: 'copy.end', copyId: 'x'.repeat(65_537) }, /"copyId"/],
    [{ type: 'copy.bytes', bytes: [1, 2] }, /"bytes"/],
    [{ type: 'query.dispatch', items: {} }, /"items"/],
    [{ type: 'query.dispatch', items: [[1, 1, 0, 0]] }, /"items"/],
    [{ type: 'query.dispatch', items: [[1, 1, 0, 0, new Uint8Array(1), 5]] }, /"items"/],
    [{ type: 'query.done', items: [[1, 1, 'X', 1, new Uint8Array(1)]] }, /"items"/],
    [{ type: 'instance.stop', mode: 'slow', epoch: 1 }, /"mode" must be `smart` or `fast` or `immediate`/],
  ]
  for (const [value, sentence] of bad) {
    const told = whatIsWrong(value)
    t.match(told, sentence)
    t.notMatch(told, secret)
    t.ok((told?.length ?? 0) < 400)
  }
})

t.test('fields that nobody defined are let through: a newer release may send more', async (t) => {
  t.equal(whatIsWrong({ ...probe, later: 1 }), undefined)
})

t.test('the hot messages are checked in a few microseconds', async (t) => {
  const bytes = new Uint8Array(100)
  const hot: Message[] = [
    { type: 'query.dispatch', items: [[1, 1, 0, 0, bytes]] },
    { type: 'query.done', items: [[1, 2 ** 40, 'I', 1, bytes]] },
    { type: 'wal.flushed', timeline: 1, writeLsn: 1, flushLsn: 1, replayLsn: 1, sentAt: 1 },
  ]
  for (const message of hot) {
    const runs = 20_000
    const start = performance.now()
    for (let i = 0; i < runs; i++) if (whatIsWrong(message) !== undefined) t.fail(message.type)
    const us = ((performance.now() - start) / runs) * 1000
    t.ok(us < 50, `${message.type}: ${us.toFixed(2)} µs`)
  }
})
