import t from 'tap'
import type { SegmentRow } from '@mirabelle/messages'
import {
  parseAddFile,
  parseMoveFile,
  parseRecoverFile,
  type Surroundings,
} from '../src/describe/mirror-file.ts'

const row = (dbid: number, content: number, role: 'p' | 'm', hostname: string, name: string): SegmentRow => ({
  dbid,
  content,
  role,
  preferredRole: role,
  mode: 's',
  status: 'u',
  port: 7000 + dbid,
  hostname,
  address: `10.0.0.${hostname.at(-1)}`,
  datadir: `/data/${name}`,
  endpoint: { addresses: [`10.0.0.${hostname.at(-1)}`], port: 7000 + dbid },
})

const around: Surroundings = {
  rows: [
    row(1, -1, 'p', 'h1', 'coordinator'),
    row(2, 0, 'p', 'h1', 'primary0'),
    row(3, 1, 'p', 'h2', 'primary1'),
    row(4, 0, 'm', 'h2', 'mirror0'),
    row(5, 1, 'm', 'h3', 'mirror1'),
  ],
  hosts: [1, 2, 3].map((n) => ({ name: `h${n}`, addresses: [`10.0.0.${n}`], agentPort: 6999, dir: `/data` })),
}
const file = (text: string) => ({ path: 'f', text })

t.test('recover: in place, with a way of its own, to a new place, or whole in place', async (t) => {
  const moves = parseRecoverFile(
    file('# comment\nh2|7004|/data/mirror0\n\nD|10.0.0.3|7005|/data/mirror1 # why\n'),
    around,
  )
  t.match(moves, [
    { kind: 'recover', dbid: 4, content: 0, to: null, mode: null },
    { dbid: 5, to: null, mode: 'differential' },
  ])
  t.match(parseRecoverFile(file('h2|7004|/data/mirror0 10.0.0.3|7100|/new/m0/'), around), [
    { dbid: 4, to: { hostname: 'h3', address: '10.0.0.3', port: 7100, datadir: '/new/m0' } },
  ])
  t.match(parseRecoverFile(file('h2|7004|/data/mirror0 h2|7004|/data/mirror0'), around), [
    { dbid: 4, to: null, mode: 'full' },
  ])
})

t.test('each mistake is named with its line, in the words of Greenplum where it has some', async (t) => {
  const wrong: [(text: string) => unknown, string, RegExp][] = [
    [(text) => parseRecoverFile(file(text), around), 'a b c', /f:1: expected 1 or 2 groups but found 3/],
    [
      (text) => parseRecoverFile(file(text), around),
      'h2|7004',
      /expected 3 parts on failed segment group, obtained 2/,
    ],
    [(text) => parseRecoverFile(file(text), around), 'h2|7999|/x', /was not found in configuration/],
    [
      (text) => parseRecoverFile(file(text), around),
      'h1|7001|/data/coordinator',
      /belongs to the coordinator/,
    ],
    [
      (text) => parseRecoverFile(file(text), around),
      'h1|7002|/data/primary0 h3|7100|/new/p0',
      /f:1: dbid 2 acts as primary of content 0: only a mirror can be recovered/,
    ],
    [
      (text) => parseRecoverFile(file(text), around),
      'h2|7004|/data/mirror0\nh2|7004|/data/mirror0',
      /config file lines 1 and 2 conflict: Cannot recover the same failed segment h2 and data directory \/data\/mirror0 twice/,
    ],
    [
      (text) => parseRecoverFile(file(text), around),
      'h2|7004|/data/mirror0 h3|7005|/n',
      /dbid 5 has the port 7005 on host h3 already/,
    ],
    [
      (text) => parseRecoverFile(file(text), around),
      'h2|7004|/data/mirror0 h9|7100|/n',
      /there is no host h9; the hosts are h1, h2, h3/,
    ],
    [(text) => parseRecoverFile(file(text), around), 'I|h2|7004|/data/mirror0 h3|7100|/n', /copied whole/],
    [(text) => parseMoveFile(file(text), around), 'h2|7004|/data/mirror0', /expected 2 groups but found 1/],
    [
      (text) => parseMoveFile(file(text), around),
      'h1|7002|/data/primary0 h3|7100|/n',
      /is not currently in a mirror role/,
    ],
    [
      (text) => parseMoveFile(file(text), around),
      'h2|1|/nowhere h3|7100|/n',
      /Old mirror segment does not exist with given information: h2\|1\|\/nowhere/,
    ],
    [
      (text) => parseMoveFile(file(text), around),
      'h1|7001|/data/coordinator h3|7100|/n',
      /Cannot move master or master mirror/,
    ],
    [(text) => parseMoveFile(file(text), around), 'h2|7004|/data/mirror0 h3|0|/n', /0 is no port/],
    [
      (text) => parseMoveFile(file(text), around),
      'h2|7004|/data/mirror0 h3|7100|n',
      /must be an absolute path/,
    ],
    [(text) => parseAddFile(file(text), around), '7|h3|7100|/n', /Invalid content 7 specified in input file/],
    [
      (text) => parseAddFile(file(text), around),
      '0|h3|7100|/n',
      /specified 1 mirror\(s\) for 2 primarie\(s\)/,
    ],
    [(text) => parseAddFile(file(text), around), '0|h3|7100', /expected contentID\|address\|port\|data_dir/],
  ]
  for (const [parse, text, words] of wrong) t.throws(() => parse(text), { message: words }, text)
})

t.test('a move that was made already is only completed', async (t) => {
  t.match(parseMoveFile(file('h2|7999|/old h3|7005|/data/mirror1'), around), [
    { kind: 'move', dbid: 5, content: 1, to: null },
  ])
  t.match(parseMoveFile(file('h2|7004|/data/mirror0 h3|7100|/n'), around), [
    { kind: 'move', dbid: 4, to: { hostname: 'h3' } },
  ])
})

t.test('what an interrupted recovery, or addition, has done already is only completed', async (t) => {
  const again = 'h2|7998|/lost h3|7005|/data/mirror1\nh2|7004|/data/mirror0 h3|7100|/new'
  t.match(parseRecoverFile(file(again), around), [
    { kind: 'recover', dbid: 5, content: 1, to: null, mode: null },
    { kind: 'recover', dbid: 4, content: 0, to: { hostname: 'h3', datadir: '/new' } },
  ])
  t.throws(() => parseRecoverFile(file('h2|7998|/lost h2|7003|/data/primary1'), around), {
    message: /was not found in configuration/,
  })
  const halfMade = { ...around, rows: around.rows.filter(({ dbid }) => dbid !== 5) }
  t.match(parseAddFile(file('0|h2|7004|/data/mirror0\n1|h3|7005|/data/mirror1'), halfMade), [
    { kind: 'add', content: 0 },
    { kind: 'add', content: 1, to: { hostname: 'h3' } },
  ])
  t.throws(() => parseAddFile(file('1|h2|7004|/data/mirror0\n0|h3|7005|/data/mirror1'), halfMade), {
    message: /f:1: dbid 4 has the data directory '\/data\/mirror0' on host h2 already/,
  })
})

t.test('hosts of one machine are told apart by their folders', async (t) => {
  const local: Surroundings = {
    rows: around.rows,
    hosts: [1, 2].map((n) => ({ name: `h${n}`, addresses: ['127.0.0.1'], agentPort: n, dir: `/c/h${n}` })),
  }
  t.match(parseMoveFile(file('h2|7004|/data/mirror0 127.0.0.1|7100|/c/h1/m'), local), [
    { to: { hostname: 'h1' } },
  ])
  t.throws(() => parseMoveFile(file('h2|7004|/data/mirror0 127.0.0.1|7100|/x'), local), {
    message: /the hosts h1, h2 have the address 127.0.0.1: give the name of the host instead/,
  })
})
