//! The soak: see the library.

fn main() {
    let program = std::env::args().nth(1).unwrap();
    let field = whoelse_tests::soak::Field::new(program.as_ref(), 1).unwrap();
    let v = field.kill(whoelse_tests::soak::Kills { people: 50, cycles: 50, confirmed_min: 5e4 }).unwrap();
    println!("{}", v.line());
    for m in v.missed() { println!("  {m}"); }
}
