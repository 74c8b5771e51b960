//! Embeds the console: writes the list of the files in `web/dist` for `server/console/files.rs`.

use std::{env, error::Error, fmt::Write, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("../../web/dist");
    println!("cargo::rerun-if-changed={}", dist.display());
    let mut files = vec![
        ("/".to_owned(), dist.join("index.html")),
        ("/config.json".to_owned(), dist.join("config.json")),
    ];
    for entry in fs::read_dir(dist.join("assets"))? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).ok_or("a name is not UTF-8")?;
        files.push((format!("/assets/{name}"), path.clone()));
    }
    files.sort();
    let mut list = "&[\n".to_owned();
    for (url, path) in files {
        let path = path.canonicalize()?;
        writeln!(list, "    ({url:?}, include_bytes!({path:?})),")?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("console_files.rs"), list)?;
    Ok(())
}
