/** Texts of statements as clients send them: planned or refused, never a throw, the same with and without the cache of shapes. */
import { isDeepStrictEqual } from 'node:util'
import { Planner } from '@mirabelle/sql'
import type { SimRandom } from '../../sim/sim-random.ts'
import { edgeNumber, text } from '../draw.ts'
import { promise, type FuzzTarget } from '../fuzz-target.ts'
import { damaged } from '../mutate.ts'
import { sqlCatalog } from './sql-catalog.ts'

const STATEMENTS = [
  'SELECT * FROM t WHERE k = 42',
  "INSERT INTO t VALUES (1, 'a'), (2, E'b\\'c'), (-3, $$d$$)",
  "UPDATE t SET v = 'x' WHERE k = 7 AND v <> 'y'",
  'DELETE FROM u WHERE a = 1 AND b = $1',
  'SELECT t.k, count(*) FROM t JOIN rep ON rep.id = t.k GROUP BY 1 ORDER BY 2 LIMIT 3',
  'WITH q AS (SELECT a FROM rnd) SELECT * FROM q, LATERAL (SELECT k FROM t WHERE k = a) s',
  'CREATE TABLE n (a int, b text) DISTRIBUTED BY (a)',
  'CREATE TABLE n AS SELECT * FROM t DISTRIBUTED RANDOMLY',
  "COPY t FROM STDIN WITH (FORMAT csv, HEADER, DELIMITER ';')",
  'ALTER SYSTEM SET gp_fts_probe_interval = 5; SELECT 1',
  'SET ROLE postgres; BEGIN; SAVEPOINT a; ROLLBACK TO a; COMMIT',
  'DECLARE c CURSOR FOR SELECT 1; FETCH 3 FROM c; CLOSE ALL',
  'PREPARE p (int) AS SELECT $1; EXECUTE p (1); DEALLOCATE ALL',
  "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1 FROM t'",
  'GRANT SELECT (k) ON t TO public',
  '/* a /* nested */ comment */ SELECT 1 -- end',
  'EXPLAIN (COSTS off) SELECT lower(v) FROM t WHERE k IN (1, 2, 3)',
] as const
const PARTS = [
  '(',
  ')',
  "'",
  '"',
  '$$',
  '$1',
  '--',
  '/*',
  '*/',
  ';',
  ',',
  'NULL',
  '::int',
  ' IN (',
  "E'",
  '\\',

  '0x',
  '1e9',
  'DISTRIBUTED BY (',
  ' UNION SELECT ',
] as const

let planner: Planner | undefined
let uncached: Planner | undefined

export const sql: FuzzTarget = {
  name: 'sql',
  what: 'texts of statements: lexer, cache of shapes, planner',
  async open() {
    planner = await Planner.create({ shapes: 500 })
    uncached = await Planner.create({ shapes: 0 })
  },
  draw: (random) => [Buffer.from(statement(random))],
  run(input) {
    if (planner === undefined || uncached === undefined) throw new Error('not open')
    // The protocol ends a text at a NUL.
    const query = Buffer.concat(input).toString('utf8').replaceAll('\0', ' ')
    const plans = planner.plan(query, sqlCatalog)
    planner.planOne(query, sqlCatalog, ['integer'])
    // Literals are read off by the lexer in one and are part of the plan in the other: what is compared is the kind of plan.
    const again = uncached.plan(query, sqlCatalog)
    const kinds = (all: typeof plans): string[] => all.map(({ plan }) => plan.kind)
    promise(
      isDeepStrictEqual(kinds(plans), kinds(again)),
      () => `with the cache ${kinds(plans).join()}, without ${kinds(again).join()}`,
    )
  },
}

function statement(random: SimRandom): string {
  let now: string = random.pick(STATEMENTS)
  if (random.chance(0.2)) now += `; ${random.pick(STATEMENTS)}`
  for (let times = random.below(4); times > 0; times--) {
    const at = random.below(now.length + 1)
    switch (random.below(6)) {
      case 0:
        now = now.slice(0, at) + random.pick(PARTS) + now.slice(at)
        break
      case 1:
        now = now.slice(0, at) + text(random) + now.slice(at)
        break
      case 2:
        now = now.replace(/\d+/, () => String(edgeNumber(random)))
        break
      case 3:
        now = damaged(random, Buffer.from(now)).toString('utf8')
        break
      case 4: {
        const part = random.pick(['(', '[', '-', 'NOT ', '(SELECT '])
        now = now.replace(/\d+/, (digits) => part.repeat(random.below(60)) + digits)
        break
      }
      default:
        now = now.slice(0, at)
    }
  }
  return now
}
