// What no client may be told, and what no log may say.
import t from 'tap'
import { internalErrors } from '../../src/chaos/check/internal-errors.ts'
import type { Op } from '../../src/chaos/history/op.ts'
import { copiesInLogs, damageInLogs, linesOfDamage } from '../../src/chaos/watch/damage-in-logs.ts'

const op = (error?: string): Op => {
  const common = {
    index: 0,
    timeMs: 1_500,
    process: 3,
    type: 'fail',
    workload: 'set',
    f: 'read',
    value: null,
  }
  return { ...common, ...(error === undefined ? {} : { error }) } as Op
}

t.test('an internal error that a client was told is an anomaly, others are not', async (t) => {
  t.same(internalErrors([op(), op('40001 could not serialize'), op('57P01 XX content 0 is unavailable')]), [])
  const [found] = internalErrors([op('XX001 invalid page in block 3 of relation base/5/16384')])
  t.match(found, { workload: 'cluster', kind: 'internal-error', timesMs: [1_500] })
  t.match(found?.summary, /^process 3 was told XX001 invalid page/)
})

t.test('what logs say of lost data is found in those of instances', async (t) => {
  const panic = 'PostgreSQL ended: PANIC:  could not locate a valid checkpoint record at 0/9000028'
  const dir = t.testdir({
    host1: {
      'agent.log': panic,
      primary0: {
        log: { 'mirabelle.log': `{"msg":"lane open"}\n{"msg":"${panic}"}\n`, 'mirabelle.log.1': '' },
        'instance.log': 'instance: stopped\n',
      },
    },
  })
  const found = await damageInLogs(dir, 9_000)
  t.equal(found.length, 1)
  t.match(found[0], {
    kind: 'damaged',
    summary: /^host1\/primary0\/log\/mirabelle\.log says: .*PANIC/,
    timesMs: [9_000],
  })
  t.same(linesOfDamage('FATAL:  the database system is starting up\nPANICKED\n'), [])
})

t.test('copies of mirrors are counted, those of a standby are not', async (t) => {
  const line = (content: number) => `{"dbid":3,"content":${content},"mode":"full","msg":"the base is copied"}`
  const dir = t.testdir({ host1: { mirror0: { log: { 'mirabelle.log': `${line(-1)}\n${line(1)}\n{}\n` } } } })
  t.same(await copiesInLogs(dir), [line(1)])
})
