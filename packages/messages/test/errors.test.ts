import t from 'tap'
import { errorCatalog, isMirabelleError, MirabelleError } from '../src/index.ts'
import type { ErrorCode, ErrorEntry } from '../src/index.ts'

const entries = Object.entries(errorCatalog) as [ErrorCode, ErrorEntry][]

t.test('every code has a sentence and a valid SQLSTATE if any', async (t) => {
  for (const [code, { sentence, sqlstate }] of entries) {
    t.match(code, /^[a-z]+(\.[a-z]+)?$/)
    t.ok(sentence.endsWith('.') && sentence.length > 20, `${code} is explained`)
    if (sqlstate !== undefined) t.match(sqlstate, /^[0-9A-Z]{5}$/)
  }
})

t.test('an error carries its code, its cause and its facts', async (t) => {
  const cause = new Error('ECONNRESET')
  const error = new MirabelleError('connection.lost', 'dbid 3 is gone', { cause, detail: { dbid: 3 } })
  t.equal(error.name, 'MirabelleError')
  t.equal(error.code, 'connection.lost')
  t.equal(error.cause, cause)
  t.same(error.detail, { dbid: 3 })
  t.ok(error.retryable)
  t.equal(new MirabelleError('wal.removed', 'x').detail, null)
  t.notOk(new MirabelleError('wal.removed', 'x').retryable)
  t.notOk('cause' in new MirabelleError('busy', 'x'), 'no empty cause')
})

t.test('an error is recognised by its class and code', async (t) => {
  const error = new MirabelleError('busy', 'x')
  t.ok(isMirabelleError(error))
  t.ok(isMirabelleError(error, 'busy'))
  t.notOk(isMirabelleError(error, 'timeout'))
  for (const other of [new Error('x'), { code: 'busy' }, undefined, null]) t.notOk(isMirabelleError(other))
})
