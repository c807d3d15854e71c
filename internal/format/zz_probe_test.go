package format_test
import ("testing";"fmt";"github.com/goccy/go-yaml/parser";"github.com/goccy/go-yaml/ast";"github.com/goccy/go-yaml")
func TestProbe(t *testing.T){
 src := "a: 1\nb:\n  - {x: 1, y: [2, 3]}\n  -\n  - c: d\n    e: no\nb: >\n  text\nf: 2020-01-02\ng: 99999999999999999999\nh: &x 3\ni: *x\nj: !!str 5\n<<: {z: 1}\nk:\nl: 0x10\nm: 1_000\n5: x\n"
 f,err:=parser.ParseBytes([]byte(src),0,parser.AllowDuplicateMapKey())
 fmt.Println(err)
 if f!=nil { var w func(n ast.Node, d int); w=func(n ast.Node,d int){ if n==nil {fmt.Println("nil");return}; tk:=n.GetToken(); fmt.Printf("%*s%T %v:%v %q\n",d*2,"",n,tk.Position.Line,tk.Position.Column,tk.Value)
  switch x:=n.(type){case *ast.MappingNode: for _,v:=range x.Values{ w(v.Key,d+1); w(v.Value,d+2)}; case *ast.SequenceNode: for _,v:=range x.Values{w(v,d+1)}; case *ast.IntegerNode: fmt.Printf("%T %v\n",x.Value,x.Value)}}
  fmt.Println(len(f.Docs)); w(f.Docs[0].Body,0)}
 for _,s:=range []string{"a: [", "a: b: c", "a:\n\t- b", "", "---\na: 1\n---\nb: 1\n", "a: \"x", "- a\nb: 1"} {
  f,err:=parser.ParseBytes([]byte(s),0)
  var se yaml.Error
  _ = se
  if e,ok:=err.(yaml.Error);ok{ fmt.Printf("%q %s %v\n",s,e.GetMessage(),e.GetToken().Position)} else {fmt.Printf("%q %v %d %v\n",s,err,len(f.Docs), f.Docs)}
 }
}
