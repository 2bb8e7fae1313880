// Package samples makes up videos for benchmarks: as many as wanted, the same ones each
// time, as a network of 1,000 pods would have them, or of random letters.
package samples

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"kinopod/shared/magnet"
	"kinopod/shared/network"
	"kinopod/shared/video"
)

// Pods is how many pods there are.
const Pods = 1000

// largest is the share of the largest pod; the others have less and less.
const largest = 0.13

// Maker makes videos one after the other, the oldest first. It is for one goroutine.
type Maker struct {
	r       *rand.Rand
	n, of   int
	random  bool
	pods    *rand.Zipf
	names   *rand.Zipf
	tongues []*tongue
	tags    *rand.Zipf
}

// Realistic makes of videos: words are used as words are (Zipf), in several languages,
// of 4 to 15 words in the name and 0 to 150 in the description.
func Realistic(of int) *Maker {
	m := newMaker(of)
	for _, t := range tongues {
		t.words = rand.NewZipf(m.r, 1.2, 8, 120_000)
		m.tongues = append(m.tongues, &t)
	}
	return m
}

// Random makes videos of random letters, as long as the first idea of Kinopod reckoned
// them: name 50, author 50 (here 40, the limit), description 250.
func Random(of int) *Maker {
	m := newMaker(of)
	m.random = true
	return m
}

func newMaker(of int) *Maker {
	r := rand.New(rand.NewPCG(1, uint64(of)))
	return &Maker{r: r, of: of, pods: rand.NewZipf(r, 1.2, 40, Pods-2), names: rand.NewZipf(r, 1.1, 10, 100), tags: rand.NewZipf(r, 1.1, 8, 30_000)}
}

// Host is a pod by its number.
func Host(n int) network.Host { return network.Host(fmt.Sprintf("pod%d.example.net", n)) }

// End is when the newest video was made.
var End = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// Next is the next video.
func (m *Maker) Next() video.Video {
	pod := 0
	if m.r.Float64() >= largest {
		pod = 1 + int(m.pods.Uint64())
	}
	const years = 5 * 365 * 24 * time.Hour
	v := video.Video{
		Origin:   Host(pod),
		Created:  End.Add(-years + time.Duration(float64(years)*float64(m.n)/float64(m.of))).Truncate(time.Millisecond),
		Duration: time.Duration(math.Exp(m.r.NormFloat64()*1.1+5.6)) * time.Second, // 4.5 min, most of 1 min to 30
	}
	v.Revision = v.Created.UnixMilli()
	m.n++
	v.ID = video.NewID(v.Origin) // its end tells the origin
	for i := range 8 {
		v.ID[i] = byte(m.r.Uint32())
	}
	var hash magnet.InfoHash
	for i := range hash {
		hash[i] = byte(m.r.Uint32())
	}
	thumbnail := make([]byte, 32)
	for i := range thumbnail {
		thumbnail[i] = byte(m.r.Uint32())
	}
	v.Thumbnail = fmt.Sprintf("%x", thumbnail)
	size := int64(1+m.r.ExpFloat64()*float64(v.Duration/time.Second)) * 200_000
	if m.random {
		v.Name, v.Uploader, v.Description = m.letters(50), m.letters(40), m.letters(250)
	} else {
		m.tell(&v, pod)
	}
	v.Renditions = []video.Rendition{{InfoHash: hash, Size: size, Width: 1280, Height: 720, MIME: video.MP4, FileName: video.FileName(v.Name, video.MP4)}}
	return v
}

func (m *Maker) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[m.r.IntN(62)]
	}
	return string(b)
}

func (m *Maker) tell(v *video.Video, pod int) {
	t := m.tongues[0]
	for share, i := m.r.Float64(), 0; i < len(m.tongues); i++ {
		if share -= m.tongues[i].share; share < 0 {
			t = m.tongues[i]
			break
		}
	}
	name := m.names.Uint64()*uint64(Pods) + uint64(pod)
	v.Uploader = m.tongues[0].word(200 + name)
	v.Name = t.text(m.r, 4+int(m.r.ExpFloat64()*3), video.MaxName)
	first, size := utf8.DecodeRuneInString(v.Name)
	v.Name = string(unicode.ToUpper(first)) + v.Name[size:]
	if m.r.IntN(10) > 0 {
		v.Description = t.text(m.r, int(math.Exp(m.r.NormFloat64()*0.9+3)), video.MaxDescription)
	}
	seen := map[string]bool{}
	for range m.r.IntN(7) {
		if tag := m.tongues[0].word(40 + m.tags.Uint64()); !seen[tag] {
			seen[tag] = true
			v.Tags = append(v.Tags, tag)
		}
	}
}

// tongue makes words that could be of a language: a word for each number, shorter where
// the number is small.
type tongue struct {
	share     float64
	beginning []string
	middle    []string
	ending    []string
	between   string
	words     *rand.Zipf
}

var tongues = []tongue{
	{share: 0.45, beginning: list("b br c ch cl d dr f fl g gr h j k l m n p pr qu r s sh st t th tr v w wh"), middle: list("a e i o u ea ee oo ai ou"), ending: list("n r s t ng nd ll ck rs st th d m l p ss"), between: " "},
	{share: 0.14, beginning: list("b d f g h j k l m n p pf r s sch sp st t tr v w z zw kl"), middle: list("a e i o u ä ö ü ei au ie eu"), ending: list("n r en er t cht ng st lich ung keit ss ß l m"), between: " "},
	{share: 0.12, beginning: list("b c ch d f g gr j l m n p pl qu r s t tr v"), middle: list("a e é è i o ou eau ai u oi an on in"), ending: list("s t r l ne re tion eur que x sse nt m"), between: " "},
	{share: 0.12, beginning: list("b c ch d f g gu h j l ll m n p qu r s t tr v"), middle: list("a e i o u á é í ó ia ie ue"), ending: list("n s r l ción do da dad z mente ñ"), between: " "},
	{share: 0.09, beginning: list("б в г д ж з к л м н п р с т ф х ц ч ш пр ст"), middle: list("а е и о у ы э ю я ё"), ending: list("н р с т й ть ский ность л м в к"), between: " "},
	{share: 0.08, beginning: list("日 本 東 京 大 人 中 山 川 学 生 水 火 木 金 土 電 車 旅 料 理 音 楽 映 画 動 物 犬 猫 花 海 空 雪 風 光 新 古 国"), middle: list("の を に が は と で 語 場 所 時 間 会 社 式 力 手 道 家 屋 み り し た"), ending: list("ー ン ラ メ ス ト 町 村 市 島 店 祭 館 塔 歌 戦 記 法 方 ます"), between: ""},
}

func list(s string) []string { return strings.Fields(s) }

// word is the word of a number; the numbers of two words differ where the words do.
func (t *tongue) word(n uint64) string {
	var b strings.Builder
	for {
		b.WriteString(t.beginning[n%uint64(len(t.beginning))])
		n /= uint64(len(t.beginning))
		b.WriteString(t.middle[n%uint64(len(t.middle))])
		n /= uint64(len(t.middle))
		if n == 0 {
			return b.String()
		}
		n--
		b.WriteString(t.ending[n%uint64(len(t.ending))])
		if n /= uint64(len(t.ending)); n == 0 {
			return b.String()
		}
		n--
	}
}

// text is about so many words, at most so many runes.
func (t *tongue) text(r *rand.Rand, n, runes int) string {
	var b strings.Builder
	count := 0
	for range max(n, 2) {
		var w string
		if r.IntN(60) == 0 { // a year, an episode, a resolution
			w = fmt.Sprint(r.IntN(3000))
		} else {
			w = t.word(t.words.Uint64())
		}
		if count += utf8.RuneCountInString(w) + 1; count > runes {
			break
		}
		if b.Len() > 0 {
			b.WriteString(t.between)
			if t.between == "" && r.IntN(8) == 0 { // in place of the room for a space
				b.WriteString("。")
			}
		}
		b.WriteString(w)
	}
	return b.String()
}
