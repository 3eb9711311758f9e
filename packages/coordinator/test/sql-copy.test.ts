/** COPY both ways with psql: formats, headers, filled columns, sizes, errors. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { startLocalCluster, type LocalCluster } from './support/local-cluster.ts'

const run = promisify(execFile)
const skip = existsSync('/usr/bin/psql') ? false : 'psql is not installed'

let cluster: LocalCluster
let folder: string

async function psql(script: string): Promise<{ out: string; err: string }> {
  const file = join(folder, 'script.sql')
  await writeFile(file, script)
  const { stdout, stderr } = await run(
    'psql',
    [
      '-X',
      '-q',
      '-A',
      '-t',
      '-h',
      '127.0.0.1',
      '-p',
      String(cluster.port),
      '-U',
      'postgres',
      '-d',
      'postgres',
      '-f',
      file,
    ],
    { maxBuffer: 64 * 1024 * 1024 },
  )
  return { out: stdout, err: stderr }
}

t.before(async () => {
  cluster = await startLocalCluster()
  folder = await mkdtemp(join(tmpdir(), 'mirabelle-copy-'))
})
t.teardown(async () => {
  await cluster.stop()
  await rm(folder, { recursive: true, force: true })
})

t.test('\\copy in and out in CSV with a header gives back what went in', { skip }, async (t) => {
  const lines = Array.from({ length: 5000 }, (_, i) => `${i},"value ""${i}"", with\nnewline",${i / 4}`)
  await writeFile(join(folder, 'in.csv'), `id,v,n\n${lines.join('\n')}\n`)
  const { out } = await psql(`
    CREATE TABLE c (id int PRIMARY KEY, v text, n numeric);
    \\copy c from '${folder}/in.csv' csv header
    SELECT count(*), sum(id), sum(n), min(length(v)) FROM c;
    \\copy c to '${folder}/out.csv' csv header
  `)
  t.match(out, '5000|12497500|3124375')
  const back = await readFile(join(folder, 'out.csv'), 'utf8')
  t.ok(back.startsWith('id,v,n\n'), 'one header, in front')
  t.equal(back.match(/^id,v,n$/gm)?.length, 1)
  t.equal(back.split(/\n(?=\d+,)/).length, 5001)
})

t.test(
  'more than one item of rows, in text format, into random, replicated and keyed tables',
  { skip },
  async (t) => {
    const row = (i: number) => `${i}\t${'y'.repeat(500)}\\n${i}\n`
    await writeFile(join(folder, 'big.txt'), Array.from({ length: 30_000 }, (_, i) => row(i)).join(''))
    for (const clause of ['BY (id)', 'RANDOMLY', 'REPLICATED']) {
      const name = clause.slice(0, 2).toLowerCase()
      const { out } = await psql(`
      CREATE TABLE big_${name} (id int, v text) DISTRIBUTED ${clause};
      \\copy big_${name} from '${folder}/big.txt'
      SELECT count(*), count(DISTINCT id), sum(length(v)) FROM big_${name};
    `)
      t.match(out, '30000|30000|15168890', clause)
    }
    await psql(`\\copy big_by to '${folder}/back.txt'`)
    t.equal((await readFile(join(folder, 'back.txt'), 'utf8')).split('\n').length, 30_001)
  },
)

t.test('left out serial and default columns are filled on the coordinator', { skip }, async (t) => {
  await writeFile(join(folder, 'part.txt'), 'a\nb\nc\n')
  const { out } = await psql(`
    CREATE TABLE f (id serial PRIMARY KEY, v text, at timestamptz DEFAULT clock_timestamp());
    \\copy f (v) from '${folder}/part.txt'
    SELECT id, v, at IS NOT NULL FROM f ORDER BY id;
  `)
  t.match(out, '1|a|t\n2|b|t\n3|c|t')
})

t.test('COPY of a query, pushed down and gathered', { skip }, async (t) => {
  const { out } = await psql(`
    COPY (SELECT id FROM c WHERE id < 3) TO STDOUT;
    COPY (SELECT count(*), max(id) FROM c) TO STDOUT WITH CSV HEADER;
  `)
  t.match(out.split('\n').slice(0, 3).sort().join(), '0,1,2')
  t.match(out, 'count,max\n5000,4999')
})

t.test('an error in the data of one content undoes the load on all', { skip }, async (t) => {
  await writeFile(join(folder, 'bad.csv'), '10001,x,1\n10002,x,1\n10003,x,not a number\n10004,x,1\n')
  const { err } = await psql(`\\copy c from '${folder}/bad.csv' csv`)
  t.match(err, 'invalid input syntax for type numeric')
  t.equal((await psql('SELECT count(*) FROM c WHERE id > 10000')).out.trim(), '0')
  await writeFile(join(folder, 'twice.csv'), '1,x,1\n')
  t.match((await psql(`\\copy c from '${folder}/twice.csv' csv`)).err, 'duplicate key')
})

t.test('COPY inside a transaction is part of it', { skip }, async (t) => {
  await writeFile(join(folder, 'more.csv'), '20001,x,1\n20002,x,1\n20003,x,1\n')
  const { out } = await psql(`
    BEGIN;
    \\copy c from '${folder}/more.csv' csv
    SELECT count(*) FROM c WHERE id > 20000;
    ROLLBACK;
    SELECT count(*) FROM c WHERE id > 20000;
  `)
  t.equal(out.trim(), '3\n0')
})

t.test('psql describes tables, lists them, and explains', { skip }, async (t) => {
  const { out, err } = await psql(
    '\\dt\n\\d c\n\\di\n\\df\n\\dn\n\\du\nEXPLAIN SELECT * FROM c WHERE id = 1;',
  )
  t.equal(err, '')
  t.match(out, 'c_pkey')
  t.match(out, 'Mirabelle: direct')
})
