package imagecodec
import ("testing";"os")
func TestDump(t *testing.T){ p:=os.Getenv("DUMP"); if p==""{t.Skip()}; b,_:=os.ReadFile(p); var im Image; if err:=Decode(b,&im,Limits{});err!=nil{t.Fatal(err)}; os.WriteFile("/tmp/ic/dump.raw",im.Pix,0644)}
