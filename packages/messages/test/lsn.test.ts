import t from 'tap'
import { formatLsn, isLsn, parseLsn } from '../src/index.ts'

t.test('an LSN is printed and read as PostgreSQL does', async (t) => {
  t.equal(formatLsn(0), '0/0')
  t.equal(formatLsn(0x16b3740), '0/16B3740')
  t.equal(parseLsn('16/B374D848'), 0x16 * 2 ** 32 + 0xb374d848)
  for (const lsn of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 40 + 17]) t.equal(parseLsn(formatLsn(lsn)), lsn)
})

t.test('what is not an LSN is refused with the text shown', async (t) => {
  for (const bad of ['', '1', '1/', '/1', 'x/1', '1/123456789', 'FFFFFFFF/FFFFFFFF', '1/2/3']) {
    t.throws(() => parseLsn(bad), RangeError, bad)
  }
  t.notOk(isLsn(-1))
  t.notOk(isLsn(1.5))
  t.notOk(isLsn('1'))
  t.ok(isLsn(5))
})
