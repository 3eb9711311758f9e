import { readFileSync } from 'node:fs'
import t from 'tap'
import { PgError, pgwireError, PGWIRE_ERRORS, toPgError, type PgwireErrorName } from '@mirabelle/pgwire'

t.test('the catalogue and the table of the README say the same', async (t) => {
  const page = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const rows = Array.from(page.matchAll(/^\| `(\w{5})` \| (\w+) +\| (.+?) +\| (yes|no) +\|$/gm), (row) =>
    row.slice(1),
  )
  const catalogue = Object.values(PGWIRE_ERRORS).map(({ code, severity, when, retryable }) => [
    code,
    severity,
    when,
    retryable ? 'yes' : 'no',
  ])
  t.same(rows, catalogue)
})

t.test('an error of the catalogue carries its SQLSTATE and severity, and its cause', async (t) => {
  for (const name of Object.keys(PGWIRE_ERRORS) as PgwireErrorName[]) {
    const cause = new Error('why')
    const error = pgwireError(name, 'text', { hint: 'h' }, cause)
    t.match(error, { ...{ code: PGWIRE_ERRORS[name].code, severity: PGWIRE_ERRORS[name].severity }, cause })
    t.match(error.fields, { message: 'text', hint: 'h' })
  }
})

t.test('what was thrown unexpectedly does not leak to the client', async (t) => {
  const error = toPgError(new Error('password is hunter2'))
  t.equal(error.code, 'XX000')
  t.notMatch(JSON.stringify(error.fields), /hunter2/)
  t.match(error.cause, /hunter2/)
  const own = new PgError({ severity: 'ERROR', code: '22012', message: 'm' })
  t.equal(toPgError(own), own)
})
