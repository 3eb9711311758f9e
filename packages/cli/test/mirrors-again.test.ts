/** `mirrors add` after one that was interrupted: what is planned is what is still missing. */
import t from 'tap'
import type { MirrorMove, SegmentRow } from '@mirabelle/messages'
import { missing } from '../src/commands/mirrors.ts'

const row = (dbid: number, content: number, role: 'p' | 'm', status: 'u' | 'd' = 'u') =>
  ({ dbid, content, role, status }) as SegmentRow
const add = (content: number): MirrorMove => ({
  kind: 'add',
  content,
  dbid: null,
  to: { hostname: 'h2', address: null, port: null, datadir: null },
  mode: null,
})

t.test('a mirror that is recorded and not up yet is completed, one that is up is left alone', (test) => {
  const rows = [2, 3, 4].map((dbid) => row(dbid, dbid - 2, 'p'))
  const catalog = { mirroring: 'group' as const, rows: [...rows, row(5, 0, 'm'), row(6, 1, 'm', 'd')] }
  const wanted = [add(0), add(1), add(2)]
  test.same(missing(wanted, catalog, true), [
    { kind: 'recover', content: 1, dbid: 6, to: null, mode: null },
    add(2),
  ])
  test.same(missing(wanted, catalog, false), [add(2)], 'without an interrupted run that is for "recover"')
  test.end()
})
